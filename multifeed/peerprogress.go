package multifeed

import "time"

// PeerProgress is what a space and one peer of it lack of each other, and how fast
// that changes.
type PeerProgress struct {
	// Exchanged says whether the feed set was exchanged. Before that nothing is
	// known of what the peer lacks.
	Exchanged bool
	// TheyLack is how many of the blocks that are durable here the peer did not say
	// that it holds durably, and WeLack how many blocks are missing here by what the
	// peer says that there are. What it says of a feed whose channel never was open
	// is a signed head, of which it may not hold all itself.
	TheyLack, WeLack uint64
	// Up and Down are bytes of frames a second lately.
	Up, Down float64
	// UpLeft and DownLeft are how long TheyLack and WeLack last at that rate if
	// nobody else brings or takes them and blocks are as long as those before: 0 when
	// nothing is lacking, negative when nothing moves.
	UpLeft, DownLeft time.Duration
}

// slowest is the rate in bytes a second below which nothing moves.
const slowest = 64

// Progress returns how the space and the session's peer stand now.
func (x *Session) Progress() PeerProgress {
	now := time.Now()
	p := PeerProgress{Exchanged: x.Exchanged(), Up: x.up.now(now), Down: x.down.now(now)}
	if !p.Exchanged {
		return p
	}
	self := []*Session{x}
	var theyLack, weLack float64 // bytes
	for place := range x.space.doubtful(self) {
		f, err := x.space.feedAt(place)
		if err != nil {
			x.space.logUnopened(place, err)
			continue
		}
		held, head := f.Durable(), f.Head()
		average := float64(head.Size) / float64(max(head.Length, 1))
		n := x.lacks(f, held)
		p.TheyLack += n
		theyLack += float64(n) * average
		if known, settled := f.lengthWith(self), held+f.Cleared(); settled < known {
			p.WeLack += known - settled
			weLack += float64(known-settled) * average
		}
	}
	p.UpLeft, p.DownLeft = timeLeft(p.TheyLack, theyLack, p.Up), timeLeft(p.WeLack, weLack, p.Down)
	return p
}

// timeLeft returns how long so many bytes take at the rate.
func timeLeft(blocks uint64, bytes, rate float64) time.Duration {
	switch {
	case blocks == 0:
		return 0
	case rate < slowest:
		return -1
	}
	const longest = 365 * 24 * time.Hour
	return time.Duration(min(bytes/rate, longest.Seconds()) * float64(time.Second))
}
