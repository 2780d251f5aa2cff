package multifeed

import (
	"errors"
	"runtime"
	"strconv"
	"weak"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
)

// leftover is what a Feed that was collected leaves to be given back.
type leftover struct {
	place uint32
	give  func()
	// settled says whether all that the feed wrote is durable; until then its
	// events are heard.
	settled func() bool
}

// feedAt returns the Feed of a member, and makes it when nobody holds one. Who
// holds it keeps the feed open; the garbage collector finds out who doesn't.
func (s *Space) feedAt(place uint32) (*Feed, error) {
	s.mu.Lock()
	f, m := s.set.live[place].Value(), s.set.list[place]
	s.mu.Unlock()
	if f != nil {
		return f, nil
	}
	s.opening.Lock()
	defer s.opening.Unlock()
	s.giveBack()
	s.mu.Lock()
	f = s.set.live[place].Value()
	s.mu.Unlock()
	if f != nil {
		return f, nil
	}
	r, err := s.readRecord(m.key)
	if err != nil {
		return nil, err
	}
	f, err = s.openFeed(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.adoptLocked(place, f)
	}
	s.mu.Unlock()
	if closed {
		f.give()
		return nil, ErrClosed
	}
	return f, nil
}

// readRecord returns what is stored of a member.
func (s *Space) readRecord(key hypercore.Key) (feedRecord, error) {
	value, err := s.store.Storage().Record(append(s.recordPrefix(), key[:]...))
	if err != nil {
		return feedRecord{}, err
	}
	return decodeFeedRecord(key[:], value)
}

// adoptLocked makes f the Feed of the member.
func (s *Space) adoptLocked(place uint32, f *Feed) {
	f.place = place
	s.set.live[place] = weak.Make(f)
	core := f.Feed
	runtime.AddCleanup(f, s.collected, leftover{place, f.give, func() bool { return core.Durable() == held(core) }})
}

// collected notes that nobody holds a Feed any more. It is called by the
// runtime, from a goroutine of its own.
func (s *Space) collected(l leftover) {
	s.gone.Lock()
	defer s.gone.Unlock()
	s.gone.list = append(s.gone.list, l)
}

// giveBack closes what collected Feeds had open, but for those of which something
// is not durable yet.
func (s *Space) giveBack() { s.giveBackThose(false) }

func (s *Space) giveBackThose(all bool) {
	s.gone.Lock()
	list := s.gone.list
	s.gone.list = nil
	s.gone.Unlock()
	var later []leftover
	for _, l := range list {
		if !all && !l.settled() {
			later = append(later, l)
			continue
		}
		l.give()
		s.mu.Lock()
		if p, ok := s.set.live[l.place]; ok && p.Value() == nil {
			delete(s.set.live, l.place)
		}
		s.mu.Unlock()
	}
	s.gone.Lock()
	s.gone.list = append(s.gone.list, later...)
	s.gone.Unlock()
}

// held returns how many blocks of a feed are stored, durably or not.
func held(f *hypercore.Feed) uint64 {
	blocks, _ := f.Held()
	return blocks
}

// giveBackAll closes what all Feeds have open.
func (s *Space) giveBackAll() {
	s.giveBackThose(true)
	s.mu.Lock()
	live := s.set.live
	s.set.live = map[uint32]weak.Pointer[Feed]{}
	s.mu.Unlock()
	for _, p := range live {
		if f := p.Value(); f != nil {
			f.give()
		}
	}
}

// feedsFrom returns up to n feeds from a place on, without those that can't be
// opened, and the place behind them, and says whether there are others.
func (s *Space) feedsFrom(place uint32, n int) (feeds []*Feed, next uint32, more bool) {
	end := uint32(s.Len())
	for ; place < end && len(feeds) < n; place++ {
		f, err := s.feedAt(place)
		if err != nil {
			s.logUnopened(place, err)
			continue
		}
		feeds = append(feeds, f)
	}
	return feeds, place, place < end
}

// openFeed opens the feed of a record with the space's keys.
func (s *Space) openFeed(r feedRecord) (*Feed, error) {
	h, own, err := s.acquire(r)
	f := &Feed{space: s, name: r.name, admission: r.admission, give: func() {}}
	f.own.Store(own && (err != nil || h.Feed().Writable()))
	f.retired.Store(r.retired)
	if r.name == "" {
		f.name = strconv.FormatUint(r.number, 10)
	}
	if errors.Is(err, hypercore.ErrDamaged) {
		f.damaged = err
		f.Feed = hypercore.Unusable(r.key, err)
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	core := h.Feed()
	if s.key != nil {
		f.Feed = core.WithSeal(hypercore.NewSeal(s.key.BlockKey(s.address.Kind, r.key)))
	} else {
		f.Feed = core.Blind()
	}
	// The feed must not keep f from being collected.
	p := weak.Make(f)
	stop := core.Notify(func(e hypercore.Event) {
		switch e.Kind {
		case hypercore.Grown, hypercore.Stored, hypercore.Cleared, hypercore.Damaged:
			s.noteHolding(core)
		}
		if f := p.Value(); f != nil {
			s.feedEvent(f, e)
		}
	})
	ration := s.ration(f, core)
	f.give = func() {
		stop()
		ration()
		h.Release()
	}
	return f, nil
}

// acquire borrows the feed of a record from the store, writable if this node
// writes it; own says so also when that fails. A retired feed is opened with its
// keys, too, so that it knows what was shown of it, and stopped.
func (s *Space) acquire(r feedRecord) (h *corestore.Handle, own bool, err error) {
	h, own, err = s.acquireKeyed(r)
	if !r.retired || err != nil {
		return h, own, err
	}
	if h.Feed().Writable() {
		if err = h.Feed().Stop(); err != nil {
			h.Release()
		}
	}
	return h, false, err
}

func (s *Space) acquireKeyed(r feedRecord) (h *corestore.Handle, own bool, err error) {
	if pair, ok := r.pair(); ok && r.ours && s.Writable() {
		h, err := s.store.Acquire(r.key)
		if err != nil {
			return nil, true, err
		}
		if err := h.Feed().Unlock(pair); err != nil {
			h.Release()
			return nil, true, err
		}
		return h, true, nil
	}
	if r.name != "" && r.seed == nil && (r.retired || r.instance == s.currentInstance()) && s.Writable() {
		if name := writerName(s.address, r.name, r.instance); s.store.NamedKey(name) == r.key {
			h, err := s.store.AcquireNamed(name)
			return h, true, err
		}
		// Another master key: the feed is not ours any more.
	}
	h, err = s.store.Acquire(r.key)
	return h, false, err
}
