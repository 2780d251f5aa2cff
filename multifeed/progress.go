package multifeed

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Progress is what a space and its peers lack of each other.
type Progress struct {
	// Exchanged says whether the feed set was exchanged with a peer since the
	// space was opened. Before that, nothing is known of what others have.
	Exchanged bool
	// Missing are the feeds of which blocks are known to exist and not durable
	// here.
	Missing []Lack
	// Unshared is what the peer that has the most of ours lacks of it; nil with
	// Peers 0, when nobody could say.
	Unshared []Lack
	// Peers is how many peers were asked.
	Peers int
}

// Lack is how many blocks of a feed somebody lacks.
type Lack struct {
	Feed   *Feed
	Blocks uint64
}

// Synced says whether everything known is durable here and everything of ours at
// one peer, by that peer's own word.
func (p Progress) Synced() bool {
	return p.Exchanged && p.Peers > 0 && len(p.Missing) == 0 && len(p.Unshared) == 0
}

// Progress returns what is lacking now.
func (s *Space) Progress() Progress { return s.survey(false) }

// survey returns what is lacking now; a brief one only as much of it as shows that
// something is.
func (s *Space) survey(brief bool) Progress {
	p := Progress{Exchanged: s.Exchanged()}
	sessions := slices.DeleteFunc(s.Sessions(), func(x *Session) bool { return !x.Exchanged() })
	p.Peers = len(sessions)
	unshared := make([][]Lack, len(sessions))
	blocks := make([]uint64, len(sessions))
	lacking := 0 // of sessions
	limit := uint64(math.MaxUint64)
	if brief {
		limit = briefLook
	}
	looked := uint64(0)
	for place := range s.someDoubtful(sessions, limit) {
		looked++
		f, err := s.feedAt(place) // what is to be fetched of it, or told to whom, only the feed knows
		if err != nil {
			s.logUnopened(place, err)
			continue
		}
		held := f.Durable()
		if known, settled := f.lengthWith(sessions), held+f.Cleared(); settled < known {
			p.Missing = append(p.Missing, Lack{f, known - settled})
		}
		for i, x := range sessions {
			n := x.lacks(f, held)
			if n == 0 {
				continue
			}
			if blocks[i] == 0 {
				lacking++
			}
			unshared[i] = append(unshared[i], Lack{f, n})
			blocks[i] += n
		}
		if brief && (len(p.Missing) > 0 || lacking == len(sessions) && lacking > 0) {
			break
		}
	}
	if len(sessions) > 0 {
		p.Unshared = unshared[slices.Index(blocks, slices.Min(blocks))]
	}
	if brief && looked >= limit && p.Synced() {
		return s.survey(false)
	}
	return p
}

// briefLook is at how many feeds a brief survey looks before it looks at all.
const briefLook = 64

// doubtful yields the places of the feeds of which blocks may be missing here, or at
// one of these peers.
func (s *Space) doubtful(sessions []*Session) iter.Seq[uint32] {
	return s.someDoubtful(sessions, math.MaxUint64)
}

// someDoubtful is doubtful that may stop when it has yielded limit places.
func (s *Space) someDoubtful(sessions []*Session, limit uint64) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		in, ok := s.lacking(sessions, limit)
		if !ok {
			in = hypercore.Bitfield{}
			in.SetRange(0, uint64(s.Len()))
		}
		for span := range in.Spans(0, in.End()) {
			for place := uint32(span.Start); uint64(place) < span.End(); place++ {
				if (ok || s.stands(place, len(sessions) > 0)) && !yield(place) {
					return
				}
			}
		}
	}
}

// stands says whether a member is worth to be looked at: somebody has it, or the
// store holds less of it than its head says, or, with others, at all.
func (s *Space) stands(place uint32, others bool) bool {
	s.mu.Lock()
	f, key := s.set.live[place].Value(), s.set.list[place].key
	s.mu.Unlock()
	if f != nil {
		return true
	}
	stored, err := s.store.Storage().Feed(key)
	lacks := err == nil && stored.Blocks < stored.Head.Length || err != nil && !errors.Is(err, hypercore.ErrNoFeed)
	return lacks || others
}

// lengthWith returns how many blocks the feed has by what is verified here and by
// what these peers say that they hold. A signed head that one of them showed
// counts until that peer said more: a writer can sign any length.
func (f *Feed) lengthWith(sessions []*Session) uint64 {
	known := f.Length()
	for _, x := range sessions {
		if p := x.PeerOf(f); p != nil && p.Answered() {
			known = max(known, p.RemoteLength())
		} else {
			known = max(known, f.KnownLength())
		}
	}
	return known
}

// lacks returns how many of the held blocks, those durable here, the peer did
// not tell that it holds.
func (x *Session) lacks(f *Feed, held uint64) uint64 {
	if held == 0 {
		return 0
	}
	if p := x.table.peerOf(f.Discovery()); p != nil {
		return p.RemoteLacks()
	}
	if l, ok := x.exchange.(*Feeds); ok {
		return l.lacksOf(f.place, held)
	}
	return held
}

// syncPause is the shortest time between two looks at the progress.
const syncPause = 20 * time.Millisecond

// WaitSynced returns nil when Progress is synced, else what it still lacked when
// ctx ended, with ctx's error.
func (s *Space) WaitSynced(ctx context.Context) (Progress, error) {
	var p Progress
	err := s.wait(ctx, func() bool {
		p = s.survey(true)
		return p.Synced()
	})
	if err != nil {
		p = s.Progress()
	}
	return p, err
}

// WaitExchanged returns when the feed set was exchanged with a peer since the
// space was opened, or when ctx ended.
func (s *Space) WaitExchanged(ctx context.Context) error { return s.wait(ctx, s.Exchanged) }

// wait returns nil when done is true, which is called after each change, but not
// more often than after syncPause.
func (s *Space) wait(ctx context.Context, done func() bool) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	asked := false
	for {
		changed := s.Changed()
		if done() {
			return nil
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return ErrClosed
		}
		if !asked {
			asked = true
			s.event(Event{Kind: PeersWanted})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		pause.Reset(syncPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// PeerOf returns the replication of a feed in this session, nil when the two
// sides don't have it open.
func (x *Session) PeerOf(f *Feed) *hypercore.Peer { return x.table.peerOf(f.Discovery()) }
