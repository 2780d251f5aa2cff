package corestore

import (
	"container/list"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// maxSkipped is how many idle feeds that can't be closed yet are passed over in
// the search for one that can.
const maxSkipped = 16

// entry is one feed that is open, or on its way there or back.
type entry struct {
	key hypercore.Key

	// guarded by Store.mu
	feed   *hypercore.Feed // nil while busy; constant afterwards
	busy   chan struct{}   // not nil while the feed is opened or deleted; then closed
	gone   bool            // closed, or about to be
	uses   int             // handles, and one if pinned
	pinned bool
	idle   *list.Element // place in Store.idle; Invariant: not nil only with uses 0
}

// Handle keeps one feed open for its owner. It may be used by several goroutines
// at once.
type Handle struct {
	store    *Store
	entry    *entry
	released bool // guarded by store.mu
}

// Feed returns the feed. It must not be used after Release: it may be closed
// then, and opened again for others. Whoever attaches a peer, opens a Reader,
// waits for a block or writes keeps the Handle until that is over.
func (h *Handle) Feed() *hypercore.Feed { return h.entry.feed }

// Release gives the feed back. It may be called twice.
func (h *Handle) Release() {
	s := h.store
	s.mu.Lock()
	if h.released {
		s.mu.Unlock()
		return
	}
	h.released = true
	victims := s.dropLocked(h.entry)
	s.mu.Unlock()
	s.shut(victims)
}

// take returns the open feed's entry with one more use.
func (s *Store) take(key hypercore.Key, pair hypercore.KeyPair) (*entry, error) {
	s.mu.Lock()
	for {
		if s.closed {
			s.mu.Unlock()
			return nil, hypercore.ErrClosed
		}
		e := s.entries[key]
		if e == nil {
			return s.openUnlock(key, pair)
		}
		if e.busy == nil && !e.gone {
			s.useLocked(e)
			s.mu.Unlock()
			return s.unlock(e, pair)
		}
		s.awaitLocked(e)
	}
}

// awaitLocked waits without the lock until the entry is open or gone for good.
func (s *Store) awaitLocked(e *entry) {
	if busy := e.busy; busy != nil {
		s.mu.Unlock()
		<-busy
		s.mu.Lock()
		return
	}
	s.mu.Unlock()
	// Two open feeds of one key could sign two blocks of one number, so nothing
	// of the old one may be on its way to the disk.
	e.feed.Close()
	<-e.feed.Settled()
	s.mu.Lock()
	s.forgetLocked(e)
}

// openUnlock opens a feed that has no entry. It is called with the lock and
// returns without.
func (s *Store) openUnlock(key hypercore.Key, pair hypercore.KeyPair) (*entry, error) {
	e := &entry{key: key, busy: make(chan struct{})}
	s.entries[key] = e
	s.mu.Unlock()
	f, err := hypercore.Open(s.st, key, pair)
	if err == nil {
		f.Notify(func(ev hypercore.Event) { s.tell(key, ev) })
		if s.opened != nil {
			s.opened(f)
		}
	}
	s.mu.Lock()
	done := e.busy
	e.busy = nil
	if err == nil && s.closed {
		err = hypercore.ErrClosed
	}
	if err != nil {
		e.gone = true
		delete(s.entries, key)
		s.mu.Unlock()
		if f != nil {
			f.Close()
		}
		close(done)
		return nil, err
	}
	e.feed = f
	e.uses = 1
	s.mu.Unlock()
	close(done)
	s.tell(key, hypercore.Event{Kind: hypercore.Opened})
	return e, nil
}

// unlock makes the feed writable if it was asked for by its name.
func (s *Store) unlock(e *entry, pair hypercore.KeyPair) (*entry, error) {
	if !pair.Valid() || e.feed.Writable() {
		return e, nil
	}
	err := e.feed.Unlock(pair)
	if err == nil {
		return e, nil
	}
	s.mu.Lock()
	victims := s.dropLocked(e)
	s.mu.Unlock()
	s.shut(victims)
	return nil, err
}

func (s *Store) useLocked(e *entry) {
	e.uses++
	if e.idle != nil {
		s.idle.Remove(e.idle)
		e.idle = nil
	}
}

// dropLocked takes one use back, and returns the entries that are to be shut
// without the lock.
func (s *Store) dropLocked(e *entry) []*entry {
	if e.uses--; e.uses > 0 || e.gone {
		return nil
	}
	e.idle = s.idle.PushFront(e)
	return s.evictLocked()
}

// evictLocked takes idle feeds beyond the bound out of use. One that still has
// something to do is passed over: opened again, it would have to wait for that.
func (s *Store) evictLocked() (victims []*entry) {
	skipped := 0
	for at := s.idle.Back(); at != nil && s.idle.Len() > max(s.maxIdle, 0) && skipped < maxSkipped; {
		e := at.Value.(*entry)
		at = at.Prev()
		if !e.feed.Quiet() {
			skipped++
			continue
		}
		s.leaveLocked(e)
		victims = append(victims, e)
	}
	return victims
}

// leaveLocked takes the feed out of use; the caller closes it.
func (s *Store) leaveLocked(e *entry) {
	e.gone = true
	s.leaving[e] = struct{}{}
	if e.idle != nil {
		s.idle.Remove(e.idle)
		e.idle = nil
	}
}

// shut closes what evictLocked returned.
func (s *Store) shut(victims []*entry) {
	if len(victims) == 0 {
		return
	}
	for _, e := range victims {
		e.feed.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
}

// sweepLocked forgets feeds of which nothing is on its way to the disk any more.
func (s *Store) sweepLocked() {
	for e := range s.leaving {
		select {
		case <-e.feed.Settled():
			s.forgetLocked(e)
		default:
		}
	}
}

func (s *Store) forgetLocked(e *entry) {
	delete(s.leaving, e)
	if s.entries[e.key] == e {
		delete(s.entries, e.key)
	}
}
