package interop

import (
	"slices"
	"strings"
	"testing"
)

// TestWhatEmbeddersPayFor bounds which modules the libraries link into a program
// that imports them.
func TestWhatEmbeddersPayFor(t *testing.T) {
	// multifeed with hypercore, without a store: hashing, bech32, protobuf's
	// wire format, and token buckets for limits of rates.
	multifeed := []string{
		"filippo.io/edwards25519",
		"github.com/btcsuite/btcd/btcutil",
		"golang.org/x/crypto",
		"golang.org/x/sys",
		"golang.org/x/time",
		"google.golang.org/protobuf",
	}
	got := modulesOf(t, "./multifeed")
	for _, m := range got {
		if !slices.Contains(multifeed, m) {
			t.Errorf("multifeed pulls in %s", m)
		}
	}
	// host on top of go-libp2p, the DHT with its sweeping provider, and gossipsub,
	// which bring most.
	const most = 115
	if got := modulesOf(t, "./host"); len(got) > most {
		t.Errorf("host pulls in %d modules, at most %d: %s", len(got), most, strings.Join(got, "\n"))
	}
	for _, m := range modulesOf(t, "./host") {
		for _, never := range []string{"github.com/cockroachdb/pebble/v2", "github.com/spf13/cobra", "github.com/schollz/progressbar/v3"} {
			if m == never {
				t.Errorf("host pulls in %s, which only stores or commands need", m)
			}
		}
	}
}

// modulesOf returns the other modules that the package and all it imports need,
// sorted.
func modulesOf(t *testing.T, pkg string) []string {
	t.Helper()
	out := goList(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pkg)
	var modules []string
	for m := range strings.FieldsSeq(out) {
		if m+"/" != module {
			modules = append(modules, m)
		}
	}
	slices.Sort(modules)
	return slices.Compact(modules)
}
