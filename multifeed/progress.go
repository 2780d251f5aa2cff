package multifeed

import (
	"context"
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
	feeds := s.Feeds()
	p := Progress{Exchanged: s.Exchanged()}
	sessions := slices.DeleteFunc(s.Sessions(), func(x *Session) bool { return !x.Exchanged() })
	for _, f := range feeds {
		if known, held := f.lengthWith(sessions), f.Durable(); held < known {
			p.Missing = append(p.Missing, Lack{f, known - held})
		}
	}
	least := uint64(0)
	for _, x := range sessions {
		lacks, blocks := x.lacks(feeds)
		if p.Peers == 0 || blocks < least {
			p.Unshared, least = lacks, blocks
		}
		p.Peers++
	}
	return p
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

// lacks returns what the peer did not tell that it holds of what is durable
// here.
func (x *Session) lacks(feeds []*Feed) (lacks []Lack, blocks uint64) {
	for _, f := range feeds {
		held := f.Durable()
		if held == 0 {
			continue
		}
		n := held
		if p := x.table.peerOf(f.Discovery()); p != nil {
			n = p.RemoteLacks()
		}
		if n > 0 {
			lacks = append(lacks, Lack{f, n})
			blocks += n
		}
	}
	return lacks, blocks
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
