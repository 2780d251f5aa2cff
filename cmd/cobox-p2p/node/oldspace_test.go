package node

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// oldSpace is a space in a store of the old software.
type oldSpace struct {
	access string // its access key
	multifeed.Address
	key    multifeed.EncryptionKey
	blocks map[hypercore.Key][][]byte // as they are stored
	ada    hypercore.KeyPair          // of the writer whose name is in the store
	bob    hypercore.KeyPair          // of the writer whose secret_key is there
	other  hypercore.Key              // of a feed of somebody else
	absent hypercore.Key              // of a feed that the list names and the store lacks
}

var oldMaster = corestore.MasterKey{4, 7, 11}

func newOldSpace(t *testing.T, n byte) *oldSpace {
	t.Helper()
	o := &oldSpace{
		Address: multifeed.Address{Kind: multifeed.KindOpen, Key: [32]byte{n, 1, 2, 3}}, key: multifeed.EncryptionKey{n, 9},
		blocks: map[hypercore.Key][][]byte{},
		bob:    hypercore.NewKeyPair([hypercore.SeedSize]byte{n, 2}),
		other:  hypercore.NewKeyPair([hypercore.SeedSize]byte{n, 3}).Public,
		absent: hypercore.NewKeyPair([hypercore.SeedSize]byte{n, 4}).Public,
	}
	o.ada = oldMaster.KeyPair(o.adaName())
	var err error
	if o.access, err = multifeed.FormatAccessKey(o.Address, o.key); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *oldSpace) adaName() string {
	return "@multifeed:" + hex.EncodeToString(o.Key[:]) + ":@multifeed:feed:ada"
}

// feed returns a feed of count sealed blocks, ready to be written.
func (o *oldSpace) feed(t *testing.T, pair hypercore.KeyPair, count int) sleep.Writing {
	t.Helper()
	st := storage.NewMemory()
	f, err := hypercore.Open(st, pair.Public, pair)
	if err != nil {
		t.Fatal(err)
	}
	sealed := f.WithSeal(hypercore.NewSeal(o.key.BlockKey(o.Kind, pair.Public)))
	for seq := range count {
		if _, err := sealed.Append(t.Context(), fmt.Appendf(nil, "%s block %d", pair.Public, seq)); err != nil {
			t.Fatal(err)
		}
		b, err := f.Block(t.Context(), uint64(seq))
		if err != nil {
			t.Fatal(err)
		}
		o.blocks[pair.Public] = append(o.blocks[pair.Public], b)
	}
	w, err := sleep.Stored(st, pair.Public)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// write writes the space into a store.
func (o *oldSpace) write(t *testing.T, s *sleep.Store) {
	t.Helper()
	other := hypercore.NewKeyPair([hypercore.SeedSize]byte{o.Key[0], 3})
	ada, bob, theirs := o.feed(t, o.ada, 20), o.feed(t, o.bob, 5), o.feed(t, other, 9)
	ada.KeyPair, ada.Name, bob.KeyPair = o.ada, o.adaName(), o.bob
	for _, w := range []sleep.Writing{ada, bob, theirs} {
		if _, err := s.WriteFeed(t.Context(), w, nil); err != nil {
			t.Fatal(err)
		}
	}
	err := s.WriteSpace(t.Context(), sleep.Space{Address: sleep.Address(o.Key), Feeds: []sleep.SpaceFeed{
		{Key: o.ada.Public, Name: "ada"}, {Key: o.bob.Public, Name: "bob"}, {Key: o.other}, {Key: o.absent},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// oldStore writes a store with the spaces.
func oldStore(t *testing.T, spaces ...*oldSpace) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "old")
	s, err := sleep.CreateStore(dir, oldMaster)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range spaces {
		o.write(t, s)
	}
	return dir
}

// imported imports and fails on an error.
func imported(t *testing.T, n *Node, o ImportOptions) Imported {
	t.Helper()
	i, err := n.Import(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// wantBlocks fails unless the space has just the blocks of the old one, but for
// lost ones, and they verify.
func (o *oldSpace) wantBlocks(t *testing.T, n *Node, name string, lost uint64) {
	t.Helper()
	s, err := n.findUsable(name)
	if err != nil {
		t.Fatal(err)
	}
	for key, blocks := range o.blocks {
		f, err := s.Feed(key)
		if err != nil {
			t.Fatal(err)
		}
		for seq, want := range blocks {
			if !f.Has(hypercore.Span{Start: uint64(seq), Count: 1}) {
				lost--
				continue
			}
			got, err := f.Block(t.Context(), uint64(seq))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("feed %.8s, block %d: %v, or another block", key, seq, err)
			}
			plain := fmt.Sprintf("%s block %d", key, seq)
			if text, err := f.Get(t.Context(), uint64(seq)); s.Readable() && string(text) != plain {
				t.Errorf("feed %.8s, block %d reads %q, %v; want %q", key, seq, text, err, plain)
			}
		}
	}
	if lost != 0 {
		t.Errorf("%d blocks more are here than should be", int64(lost))
	}
	if v, err := n.Verify(t.Context(), VerifyOptions{Space: name}); err != nil || !v.OK {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// digest returns what lies in a folder.
func digest(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%x %v", b, info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func feedStates(t *testing.T, n *Node) map[string]FeedStatus {
	t.Helper()
	all := map[string]FeedStatus{}
	for _, s := range n.Status().Spaces {
		for _, f := range s.Feeds {
			all[f.Key] = f
		}
	}
	return all
}
