package interop

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cobox-p2p/cobox-p2p/"

// layers are the packages of ours that each package may import. What is not
// listed may import nothing of ours; interop may import anything, and nothing
// imports it.
var layers = map[string][]string{
	"hypercore/flattree":            {},
	"hypercore/merkle":              {"hypercore/flattree"},
	"hypercore":                     {"hypercore/merkle", "hypercore/flattree"},
	"hypercore/storage":             {"hypercore", "hypercore/merkle", "hypercore/flattree"},
	"hypercore/storage/sleep":       {"hypercore", "hypercore/merkle", "hypercore/flattree", "hypercore/corestore"},
	"hypercore/storage/storagetest": {"hypercore", "hypercore/merkle"},
	"hypercore/corestore":           {"hypercore"},
	"multifeed/wire":                {"hypercore", "hypercore/merkle"},
	"multifeed/reconcile":           {},
	"multifeed":                     {"multifeed/wire", "multifeed/reconcile", "hypercore", "hypercore/merkle", "hypercore/flattree", "hypercore/corestore"},
	"discovery":                     {},
	"host":                          {"multifeed", "hypercore", "discovery"},
}

// withLibp2p are the trees in which libp2p may appear.
var withLibp2p = []string{"host", "discovery", "cmd", "interop"}

func TestImportsFollowTheBytes(t *testing.T) {
	seen := map[string]bool{}
	for line := range strings.Lines(goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")) {
		fields := strings.Fields(line)
		pkg, ok := strings.CutPrefix(fields[0], module)
		if !ok {
			continue
		}
		seen[pkg] = true
		top, _, _ := strings.Cut(pkg, "/")
		for _, imported := range fields[1:] {
			if strings.HasPrefix(imported, "github.com/libp2p/") && !slices.Contains(withLibp2p, top) {
				t.Errorf("%s imports %s: libp2p appears in %v only", pkg, imported, withLibp2p)
			}
			ours, ok := strings.CutPrefix(imported, module)
			if !ok || top == "interop" {
				continue
			}
			if strings.HasPrefix(ours, "interop") {
				t.Errorf("%s imports %s: nothing imports interop", pkg, ours)
			}
			if top != "cmd" && !slices.Contains(layers[pkg], ours) {
				t.Errorf("%s must not import %s: imports follow the bytes from the wire to the disk", pkg, ours)
			}
		}
	}
	for pkg := range layers {
		if !seen[pkg] {
			t.Errorf("%s is in the table of layers but not in the module", pkg)
		}
	}
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	return string(out)
}
