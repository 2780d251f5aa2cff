package corestore_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

type vectors struct {
	MasterKey string
	Derived   []struct{ Name, Via, Seed, PublicKey, DiscoveryKey string }
}

func readVectors(t *testing.T) (v vectors, master corestore.MasterKey) {
	t.Helper()
	raw, err := os.ReadFile("../../interop/vectors/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Corestore vectors }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if n, err := hex.Decode(master[:], []byte(file.Corestore.MasterKey)); err != nil || n != len(master) {
		t.Fatalf("master key: %v", err)
	}
	return file.Corestore, master
}

func TestDerivationVectors(t *testing.T) {
	v, master := readVectors(t)
	s := corestore.New(storage.NewMemory(), master)
	if len(v.Derived) < 9 {
		t.Fatalf("%d vectors, want 9", len(v.Derived))
	}
	for _, d := range v.Derived {
		pair := master.KeyPair(d.Name)
		if pair.Public.String() != d.PublicKey {
			t.Errorf("public key of %q = %s, want %s", d.Name, pair.Public, d.PublicKey)
		}
		if d.Seed != "" && hex.EncodeToString(pair.SecretKey()[:32]) != d.Seed {
			t.Errorf("seed of %q differs", d.Name)
		}
		f, err := s.Named(d.Name)
		if err != nil {
			t.Fatal(err)
		}
		if f.Key() != pair.Public || !f.Writable() {
			t.Errorf("Named %q has key %s, writable %t", d.Name, f.Key(), f.Writable())
		}
		if d.DiscoveryKey != "" && f.Discovery().String() != d.DiscoveryKey {
			t.Errorf("discovery key of %q = %s, want %s", d.Name, f.Discovery(), d.DiscoveryKey)
		}
	}
}

func TestNamespaceVectors(t *testing.T) {
	v, master := readVectors(t)
	s := corestore.New(storage.NewMemory(), master)
	key := map[string]string{}
	for _, d := range v.Derived {
		key[d.Name] = d.PublicKey
	}
	space := s.Namespace("@multifeed:" + strings.Repeat("11", 32))
	for _, n := range []corestore.Namespace{
		s.Namespace("default"), s.Namespace("x"), s.Namespace("x").Namespace("y"),
		space.Namespace("@multifeed:persist"), space.Namespace("@multifeed:feed:grace"),
	} {
		f, err := n.Default()
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := key[n.Name()]; !ok || f.Key().String() != want {
			t.Errorf("key of namespace %q = %s, want %s", n.Name(), f.Key(), want)
		}
	}
}

func TestMasterKeyStaysOutOfLogs(t *testing.T) {
	master := corestore.MasterKey{0xab, 0xcd, 0xef}
	for _, format := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
		for _, text := range []string{fmt.Sprintf(format, master), fmt.Sprintf(format, &master)} {
			if text != "master key" {
				t.Errorf("%s shows %s", format, text)
			}
		}
	}
}

func TestEachFeedIsOpenOnce(t *testing.T) {
	s := corestore.New(storage.NewMemory(), corestore.MasterKey{1})
	pair := corestore.MasterKey{1}.KeyPair("log")
	read, err := s.Feed(pair.Public)
	if err != nil || read.Writable() {
		t.Fatalf("Feed: %v, writable %t", err, read.Writable())
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if f, err := s.Named("log"); err != nil || f != read {
				t.Errorf("Named returned another feed, %v", err)
			}
		})
	}
	wg.Wait()
	if !read.Writable() {
		t.Error("the feed did not become writable")
	}
	if f, ok := s.Loaded(pair.Public); !ok || f != read {
		t.Error("Loaded does not know the feed")
	}
	if _, err := s.Feed(hypercore.Key{}); !errors.Is(err, hypercore.ErrWeakKey) {
		t.Errorf("Feed of a weak key: %v, want ErrWeakKey", err)
	}
}

func TestReleaseAndClose(t *testing.T) {
	ctx := context.Background()
	st := storage.NewMemory()
	s := corestore.New(st, corestore.MasterKey{1})
	f, err := s.Named("log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Append(ctx, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := s.Release(f.Key()); err != nil {
		t.Fatal(err)
	}
	if err := s.Release(f.Key()); err != nil {
		t.Errorf("second Release: %v", err)
	}
	if _, ok := s.Loaded(f.Key()); ok {
		t.Error("a released feed is loaded")
	}
	if _, err := f.Get(ctx, 0); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Get of a released feed: %v, want ErrClosed", err)
	}
	again, err := s.Named("log")
	if err != nil || again == f {
		t.Fatalf("Named after Release: the same feed, %v", err)
	}
	if b, err := again.Get(ctx, 0); err != nil || !bytes.Equal(b, []byte("one")) {
		t.Errorf("Get = %q, %v", b, err)
	}
	n := 0
	for stored, err := range s.List() {
		if err != nil || stored.Key != f.Key() || stored.Head.Length != 1 {
			t.Errorf("List = %+v, %v", stored, err)
		}
		n++
	}
	if n != 1 || s.Storage() != hypercore.Storage(st) {
		t.Errorf("%d feeds listed, want 1", n)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := s.Named("log"); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Named after Close: %v, want ErrClosed", err)
	}
	if _, err := again.Append(ctx, []byte("two")); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Append after Close: %v, want ErrClosed", err)
	}
}

// A released feed is opened again only when what it wrote is durable: opened
// sooner it would tell peers of it.
func TestReleasedFeedIsOpenedAgainWhenDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storage.NewMemory()
		s := corestore.New(st, corestore.MasterKey{1})
		f, err := s.Named("log")
		if err != nil {
			t.Fatal(err)
		}
		st.HoldSync()
		go f.Append(context.Background(), []byte("one"))
		synctest.Wait()
		if err := s.Release(f.Key()); err != nil {
			t.Fatal(err)
		}
		var again *hypercore.Feed
		go func() { again, err = s.Named("log") }()
		synctest.Wait()
		if again != nil {
			t.Fatalf("opened again before the sync, with %d blocks durable", again.Durable())
		}
		st.ReleaseSync()
		synctest.Wait()
		if again == nil || err != nil || again.Durable() != 1 {
			t.Fatalf("opened again after the sync: %v", err)
		}
		if seq, err := again.Append(context.Background(), []byte("two")); seq != 1 || err != nil {
			t.Errorf("Append = %d, %v, want 1", seq, err)
		}
	})
}

// slow is a store whose commits wait.
type slow struct {
	*storage.Memory
	gate chan struct{}
}

func (s *slow) Commit(b *hypercore.Batch) error {
	<-s.gate
	return s.Memory.Commit(b)
}

// No second feed of one key may open while the first one's commit is under way:
// both would sign a block of the same number.
func TestReleaseWaitsForCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slow{storage.NewMemory(), make(chan struct{})}
		s := corestore.New(st, corestore.MasterKey{1})
		f, err := s.Named("log")
		if err != nil {
			t.Fatal(err)
		}
		go f.Append(context.Background(), []byte("one"))
		synctest.Wait()
		go s.Release(f.Key())
		synctest.Wait()
		var again *hypercore.Feed
		go func() { again, _ = s.Named("log") }()
		synctest.Wait()
		if again != nil {
			t.Fatal("opened again while a commit is under way")
		}
		close(st.gate)
		synctest.Wait()
		if again == nil || again.Length() != 1 {
			t.Fatal("not opened again with the block")
		}
	})
}
