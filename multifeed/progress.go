package multifeed

import (
	"context"
	"errors"
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
func (s *Space) Progress() Progress {
	p := Progress{Exchanged: s.Exchanged()}
	sessions := slices.DeleteFunc(s.Sessions(), func(x *Session) bool { return !x.Exchanged() })
	p.Peers = len(sessions)
	unshared := make([][]Lack, len(sessions))
	blocks := make([]uint64, len(sessions))
	for place := range uint32(s.Len()) {
		f, lacks := s.standing(place)
		if f == nil && (lacks || len(sessions) > 0) {
			// What is to be fetched of it, or told to whom, only the feed knows.
			var err error
			if f, err = s.feedAt(place); err != nil {
				s.logUnopened(place, err)
				continue
			}
		}
		if f == nil {
			continue
		}
		held := f.Durable()
		if known, settled := f.lengthWith(sessions), held+f.Cleared(); settled < known {
			p.Missing = append(p.Missing, Lack{f, known - settled})
		}
		for i, x := range sessions {
			if n := x.lacks(f, held); n > 0 {
				unshared[i] = append(unshared[i], Lack{f, n})
				blocks[i] += n
			}
		}
	}
	if len(sessions) > 0 {
		p.Unshared = unshared[slices.Index(blocks, slices.Min(blocks))]
	}
	return p
}

// standing returns the Feed of a member if it is live, else whether the store
// holds less of it than its head says.
func (s *Space) standing(place uint32) (f *Feed, lacks bool) {
	s.mu.Lock()
	f, key := s.set.live[place].Value(), s.set.list[place].key
	s.mu.Unlock()
	if f != nil {
		return f, false
	}
	stored, err := s.store.Storage().Feed(key)
	return nil, err == nil && stored.Blocks < stored.Head.Length || err != nil && !errors.Is(err, hypercore.ErrNoFeed)
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
	return held
}

// syncPause is the shortest time between two looks at the progress.
const syncPause = 20 * time.Millisecond

// WaitSynced returns nil when Progress is synced, else what it still lacked when
// ctx ended, with ctx's error.
func (s *Space) WaitSynced(ctx context.Context) (Progress, error) {
	return s.wait(ctx, Progress.Synced)
}

// WaitExchanged returns when the feed set was exchanged with a peer since the
// space was opened, or when ctx ended.
func (s *Space) WaitExchanged(ctx context.Context) error {
	_, err := s.wait(ctx, func(p Progress) bool { return p.Exchanged })
	return err
}

func (s *Space) wait(ctx context.Context, done func(Progress) bool) (Progress, error) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		changed := s.Changed()
		p := s.Progress()
		if done(p) {
			return p, nil
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return p, ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return p, ctx.Err()
		}
		pause.Reset(syncPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// PeerOf returns the replication of a feed in this session, nil when the two
// sides don't have it open.
func (x *Session) PeerOf(f *Feed) *hypercore.Peer { return x.table.peerOf(f.Discovery()) }
