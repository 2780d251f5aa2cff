# make check   what CI runs: format, vet, staticcheck, all tests with the race
#              detector, a few seconds of each fuzz target, the demo
# make soak    the same tests at full size
# make bench   Go benchmarks; go run ./interop/bench measures beside npm and plain files
# make bench-short, bench-full   that command, in two minutes, and in an hour with the results kept
# make cross   binaries for other systems
GO       ?= go
FUZZTIME ?= 3s
PKGS     := ./...

.PHONY: check format vet staticcheck test fuzz demo soak bench bench-short bench-full cross build js

check: format vet staticcheck test fuzz demo

build:
	$(GO) build -trimpath -o bin/cobox-p2p ./cmd/cobox-p2p

format:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt wants to change:"; echo "$$out"; exit 1; }

vet: build
	$(GO) vet $(PKGS)

staticcheck:
	$(GO) -C interop/tools build -o ../../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck $(PKGS)

# Two packages at once: the tests start daemons and foreign peers, and must not
# starve each other on a small machine.
test: js
	$(GO) test -race -p 2 $(PKGS)

js:
	cd interop/js && { test -d node_modules || npm ci --ignore-scripts --no-audit --no-fund; }

# Every fuzz target of every package, one after the other.
fuzz:
	@git grep -o '^func Fuzz[A-Za-z0-9]*' -- '*_test.go' | sed 's,\(.*\)/[^/]*:func \(.*\),./\1 \2,' | \
	while read -r pkg target; do \
	  echo "fuzz $$pkg $$target"; \
	  $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x $$pkg || exit 1; \
	done

demo: build
	bin/cobox-p2p demo --json hypercore

soak: build js
	COBOX_SOAK=1 $(GO) test -race -p 1 -timeout 60m $(PKGS)

bench:
	$(GO) test -run '^$$' -bench . -benchmem -count 5 ./hypercore/... ./multifeed/...
	@echo "Beside npm multifeed 6, hypercore 9 and 11, a bare stream and plain files: make bench-short; see interop/bench/README.md"

bench-short:
	$(GO) run ./interop/bench --short

bench-full:
	$(GO) run ./interop/bench --record interop/bench/results

cross:
	@set -e; for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do \
	  echo $$target; GOOS=$${target%/*} GOARCH=$${target#*/} CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/cobox-p2p-$${target%/*}-$${target#*/} ./cmd/cobox-p2p; \
	done
