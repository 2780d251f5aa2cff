package multifeed

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// The example of interop/spec/bundle.md: the space of keys.md, the feed of the
// seed 0x46.. with one block "block" in the clear, and the salt 00 01 .. 1f.
func TestBundleVector(t *testing.T) {
	address := testSecret.Address()
	pair := hypercore.NewKeyPair([hypercore.SeedSize]byte(bytes.Repeat([]byte{0x46}, hypercore.SeedSize)))
	var roots merkle.Roots
	roots.Append(merkle.Leaf(0, []byte("block")), nil)
	signature := pair.Sign(hypercore.Signable(roots.Hash(), 1))
	e := Entry{Feed: pair.Public, Length: 1, RootHash: roots.Hash(), Signature: signature, Admission: testSecret.Admit(pair.Public)}
	var file bytes.Buffer
	out, err := sealedWriterWith(&file, address, bundleMagic, count(0))
	if err != nil {
		t.Fatal(err)
	}
	b := &bundleWriter{out: out}
	if err := b.say(bundleEntry, appendEntry(nil, e)); err != nil {
		t.Fatal(err)
	}
	if err := b.frame(dataChannel, &hypercore.Data{Value: []byte("block"), Signature: signature[:]}); err != nil {
		t.Fatal(err)
	}
	plain := bytes.Clone(out.plain)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	spec, err := os.ReadFile("../interop/spec/bundle.md")
	if err != nil {
		t.Fatal(err)
	}
	header := bundlePrefix + bundleCheck
	for name, want := range map[string][]byte{
		"header": file.Bytes()[:header], "content": plain, "chunk": file.Bytes()[header:],
	} {
		if row := fmt.Sprintf("| %s | `%x` |", name, want); !strings.Contains(string(spec), row) {
			t.Errorf("interop/spec/bundle.md has no row\n%s", row)
		}
	}
	r := newNode(t, "reader").open(address)
	wantReport(t, "the example", readAll(t, r, file.Bytes()), 1, 1, 0)
}
