package multifeed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// journal is a store that remembers its batches, so that it can be copied as it
// was after any of them.
type journal struct {
	*storage.Memory
	mu      sync.Mutex // guards batches, and their order
	batches []*hypercore.Batch
}

func (j *journal) Commit(b *hypercore.Batch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.Memory.Commit(b); err != nil {
		return err
	}
	kept := &hypercore.Batch{}
	for _, r := range b.Records {
		kept.Records = append(kept.Records, hypercore.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)})
	}
	for _, w := range b.Feeds {
		if w.Head != nil {
			head := *w.Head
			w.Head = &head
		}
		w.Nodes, w.Clear = slices.Clone(w.Nodes), slices.Clone(w.Clear)
		w.Runs = slices.Clone(w.Runs)
		for i, run := range w.Runs {
			w.Runs[i].Blocks = nil
			for _, block := range run.Blocks {
				w.Runs[i].Blocks = append(w.Runs[i].Blocks, append([]byte{}, block...))
			}
		}
		kept.Feeds = append(kept.Feeds, w)
	}
	j.batches = append(j.batches, kept)
	return nil
}

func (j *journal) len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.batches)
}

// copied is a node whose store can be copied.
type copied struct {
	*node
	st *journal
}

// newCopied returns a node with the first n batches of another's store, with the
// same master key.
func newCopied(t *testing.T, of *copied, n int) *copied {
	t.Helper()
	st := &journal{Memory: storage.NewMemory()}
	if of != nil {
		of.st.mu.Lock()
		defer of.st.mu.Unlock()
		for _, b := range of.st.batches[:n] {
			if err := st.Commit(&hypercore.Batch{Feeds: slices.Clone(b.Feeds), Records: b.Records}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := &copied{&node{t, "copied", st.Memory, corestore.New(st, corestore.MasterKey{9})}, st}
	t.Cleanup(func() { c.store.Close(); st.Close() })
	return c
}

// contents counts how often each content is stored in the space.
func contents(t *testing.T, s *Space) map[string]int {
	t.Helper()
	all := map[string]int{}
	for f := range s.All() {
		for seq := range f.Length() {
			b, err := f.Local(seq) // it may be cut off while we look
			if errors.Is(err, hypercore.ErrNoBlock) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			all[string(b)]++
		}
	}
	return all
}

// awaitContents returns when all of want are stored in the space.
func awaitContents(t *testing.T, what string, s *Space, want []string) map[string]int {
	t.Helper()
	ctx := within(t)
	for {
		changed := s.Changed()
		got := contents(t, s)
		missing := slices.DeleteFunc(slices.Clone(want), func(c string) bool { return got[c] > 0 })
		if len(missing) == 0 {
			return got
		}
		select {
		case <-changed:
		case <-ctx.Done():
			for f := range s.All() {
				t.Logf("%s: %q %.8s length %d, %d unseen, retired %v, own %v, forked %v", what, f.Name(), f.Discovery(), f.Length(), f.Unseen(), f.Retired(), f.Own(), f.Forked())
			}
			t.Fatalf("%s: missing %q", what, missing)
		}
	}
}

// events counts what happens in a space.
func events(s *Space, kind EventKind) func() int {
	var mu sync.Mutex
	n := 0
	s.Notify(func(e Event) {
		if e.Kind == kind {
			mu.Lock()
			n++
			mu.Unlock()
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// persist keeps two spaces connected until stop is called.
func persist(t *testing.T, na *node, a *Space, nb *node, b *Space) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			session(ctx, na, a, nb, b)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// session runs one session between two spaces and returns when it has ended.
func session(ctx context.Context, na *node, a *Space, nb *node, b *Space) {
	ca, cb := net.Pipe()
	var sides sync.WaitGroup
	sides.Go(func() {
		defer ca.Close()
		if o, err := Initiate(ctx, ca, na.party(), []byte(nb.id), a.Address()); err == nil {
			a.Replicate(ctx, o)
		}
	})
	sides.Go(func() {
		defer cb.Close()
		o, err := Respond(ctx, cb, nb.party(), []byte(na.id), func(tag [32]byte) (Address, bool) {
			return b.Address(), tag == b.Address().Tag([]byte(na.id), []byte(nb.id))
		})
		if err == nil {
			b.Replicate(ctx, o)
		}
	})
	sides.Wait()
}

func names(prefix string, from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(prefix, " ", i))
	}
	return all
}

func wantUnforked(t *testing.T, what string, s *Space) {
	t.Helper()
	for f := range s.All() {
		if err := f.Forked(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
