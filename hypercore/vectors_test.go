package hypercore_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// hexBytes is bytes that a vector file gives in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vectorNode struct {
	Index, Size uint64
	Hash        hexBytes
}

func (n vectorNode) node() merkle.Node {
	return merkle.Node{Index: n.Index, Size: n.Size, Hash: merkle.Hash(n.Hash)}
}

type vectorStep struct {
	Length, ByteLength                   uint64
	Block, TreeHash, Signable, Signature hexBytes
	Roots                                []vectorNode
}

// vectors is what the original made, as far as this package is concerned.
type vectors struct {
	KeyPairs []struct {
		Seed, PublicKey, SecretKey, DiscoveryKey hexBytes
	}
	DiscoveryKeys []struct{ Key, DiscoveryKey hexBytes }
	Feed          struct {
		Seed  hexBytes
		Steps []vectorStep
	}
	FeedBatch struct {
		Files struct{ Signatures hexBytes }
	}
	Proofs struct {
		Seed hexBytes
		List []struct {
			Index uint64
			Opts  struct {
				Digest uint64
				Hash   bool
			}
			Nodes     []vectorNode
			Signature hexBytes
		}
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	raw, err := os.ReadFile("../interop/vectors/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestKeyPairVectors(t *testing.T) {
	v := readVectors(t)
	if len(v.KeyPairs) == 0 || len(v.DiscoveryKeys) == 0 {
		t.Fatal("no vectors")
	}
	for _, k := range v.KeyPairs {
		pair := hypercore.NewKeyPair([32]byte(k.Seed))
		if pair.Public != hypercore.Key(k.PublicKey) {
			t.Errorf("public key of seed %x = %s, want %x", k.Seed, pair.Public, k.PublicKey)
		}
		if !bytes.Equal(pair.SecretKey(), k.SecretKey) {
			t.Errorf("secret key of seed %x differs", k.Seed)
		}
		if got := pair.Public.Discovery(); got != hypercore.DiscoveryKey(k.DiscoveryKey) {
			t.Errorf("discovery key of %s = %s, want %x", pair.Public, got, k.DiscoveryKey)
		}
		if err := pair.Public.Check(); err != nil {
			t.Errorf("Check of %s: %v", pair.Public, err)
		}
	}
	for _, k := range v.DiscoveryKeys {
		if got := hypercore.Key(k.Key).Discovery(); got != hypercore.DiscoveryKey(k.DiscoveryKey) {
			t.Errorf("discovery key of %x = %s, want %x", k.Key, got, k.DiscoveryKey)
		}
	}
}

func TestFeedVectors(t *testing.T) {
	v := readVectors(t).Feed
	pair := hypercore.NewKeyPair([32]byte(v.Seed))
	st := storage.NewMemory()
	f := mustOpen(t, st, pair, true)
	for _, step := range v.Steps {
		mustAppend(t, f, step.Block)
		checkStep(t, f, st, step)
	}
}

// One batch has the one signature that the last of many appends has.
func TestFeedBatchVectors(t *testing.T) {
	all := readVectors(t)
	steps := all.Feed.Steps
	var blocks [][]byte
	for _, step := range steps {
		blocks = append(blocks, step.Block)
	}
	st := storage.NewMemory()
	f := mustOpen(t, st, hypercore.NewKeyPair([32]byte(all.Feed.Seed)), true)
	mustAppend(t, f, blocks...)
	checkStep(t, f, st, steps[len(steps)-1])
	file := all.FeedBatch.Files.Signatures
	if got := f.Head().Signature; !bytes.Equal(got[:], file[len(file)-len(got):]) {
		t.Errorf("signature = %x, want the last of the original's file", got)
	}
}

func checkStep(t *testing.T, f *hypercore.Feed, st hypercore.Storage, step vectorStep) {
	t.Helper()
	h := f.Head()
	if h.Length != step.Length || h.Size != step.ByteLength {
		t.Errorf("head = %d blocks of %d bytes, want %d of %d", h.Length, h.Size, step.Length, step.ByteLength)
	}
	if h.RootHash != merkle.Hash(step.TreeHash) {
		t.Errorf("root hash of %d blocks = %x, want %x", h.Length, h.RootHash, step.TreeHash)
	}
	if got := hypercore.Signable(h.RootHash, h.Length); !bytes.Equal(got, step.Signable) {
		t.Errorf("signable of %d blocks = %x, want %x", h.Length, got, step.Signable)
	}
	if h.Signature != hypercore.Signature(step.Signature) {
		t.Errorf("signature of %d blocks = %x, want %x", h.Length, h.Signature, step.Signature)
	}
	if err := f.Key().Verify(step.Signable, hypercore.Signature(step.Signature)); err != nil {
		t.Errorf("Verify of %d blocks: %v", h.Length, err)
	}
	for _, want := range step.Roots {
		if got, err := st.Node(f.Key(), want.Index); err != nil || got != want.node() {
			t.Errorf("root %d = %+v, %v, want %+v", want.Index, got, err, want.node())
		}
	}
}

func TestProofVectors(t *testing.T) {
	v := readVectors(t).Proofs
	f := mustOpen(t, storage.NewMemory(), hypercore.NewKeyPair([32]byte(v.Seed)), true)
	for i := range 9 {
		mustAppend(t, f, []byte{'b', 'l', 'o', 'c', 'k', byte('0' + i)})
	}
	for _, p := range v.List {
		d, err := f.Prove(p.Index, p.Opts.Digest, p.Opts.Hash)
		if err != nil {
			t.Errorf("Prove of block %d with %+v: %v", p.Index, p.Opts, err)
			continue
		}
		var want []merkle.Node
		for _, n := range p.Nodes {
			want = append(want, n.node())
		}
		if !slices.Equal(d.Nodes, want) {
			t.Errorf("nodes for %d with %+v = %+v, want %+v", p.Index, p.Opts, d.Nodes, want)
		}
		if !bytes.Equal(d.Signature, p.Signature) {
			t.Errorf("signature for %d with %+v = %x, want %x", p.Index, p.Opts, d.Signature, p.Signature)
		}
		if (d.Value == nil) != p.Opts.Hash {
			t.Errorf("value for %d with %+v = %x", p.Index, p.Opts, d.Value)
		}
	}
}

// What the original proved to a reader that holds nothing is taken over here.
func TestProofVectorsVerify(t *testing.T) {
	v := readVectors(t).Proofs
	key := hypercore.NewKeyPair([32]byte(v.Seed)).Public
	for _, p := range v.List {
		if p.Opts.Digest != 0 {
			continue
		}
		f := mustOpen(t, storage.NewMemory(), hypercore.KeyPair{Public: key}, false)
		seq := p.Index
		d := &hypercore.Data{Index: seq, Signature: p.Signature}
		if !p.Opts.Hash {
			d.Value = []byte{'b', 'l', 'o', 'c', 'k', byte('0' + seq)}
		}
		for _, n := range p.Nodes {
			d.Nodes = append(d.Nodes, n.node())
		}
		if err := f.Apply(context.Background(), d); err != nil {
			t.Errorf("Apply of block %d, hash %t: %v", seq, p.Opts.Hash, err)
		}
		if f.Length() != 9 || f.Has(hypercore.Span{Start: seq, Count: 1}) == p.Opts.Hash {
			t.Errorf("block %d, hash %t: length = %d, block held %t", seq, p.Opts.Hash, f.Length(), !p.Opts.Hash)
		}
	}
}
