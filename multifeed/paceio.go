package multifeed

import (
	"context"
	"time"
)

// askAhead is for how long blocks are asked for ahead under a limit of what comes.
const askAhead = time.Second

// WithPace limits what the space's sessions send and what they receive, in bytes
// of frames. Either may be nil. Called again it adds others: what goes must be
// within all, so a space can have a limit of its own and one that it shares.
func WithPace(up, down *Pace) Option {
	return func(s *Space) error {
		if up != nil {
			s.up = append(s.up, up)
		}
		if down != nil {
			s.down = append(s.down, down)
		}
		return nil
	}
}

// writeSize returns how many bytes one write has at most under the limits of now.
func (x *Session) writeSize() int {
	size := maxWrite
	for _, p := range x.space.up {
		size = p.part(size)
	}
	return size
}

// paceWrite returns when n bytes, writeSize at most, may be written.
func (x *Session) paceWrite(ctx context.Context, n int, urgent bool) error {
	for _, p := range x.space.up {
		if err := p.wait(ctx, n, urgent); err != nil {
			return err
		}
	}
	return nil
}

// paceRead counts n bytes that were read, and waits as long as reading on has to
// wait for them.
func (x *Session) paceRead(ctx context.Context, n int) error {
	var wait time.Duration
	for _, p := range x.space.down {
		wait = max(wait, p.reserve(n))
	}
	return pause(ctx, min(wait, time.Duration(n)*time.Second/time.Duration(minReading)))
}

// room returns the hook by which a feed is asked for no more than the limits let
// in; nil when there are none.
func (x *Session) room() func(now time.Time) (bytes uint64, again time.Time) {
	if len(x.space.down) == 0 {
		return nil
	}
	return x.askRoom
}

// answerFor is for how long one answer occupies a session under a limit of what
// goes: for so long all else waits behind it.
const answerFor = time.Second / 4

// portion returns the hook by which answers stay short under a limit of what goes;
// nil when there is none.
func (x *Session) portion() func() uint64 {
	if len(x.space.up) == 0 {
		return nil
	}
	return func() uint64 {
		most := uint64(1<<64 - 1)
		for _, p := range x.space.up {
			if r := p.Rate(); r > 0 {
				most = min(most, uint64(r)/uint64(time.Second/answerFor))
			}
		}
		return most
	}
}

// askRoom returns how many bytes may be asked of the remote at once under the
// limits of now, and when to look again if that is none.
func (x *Session) askRoom(now time.Time) (bytes uint64, again time.Time) {
	bytes = 1<<64 - 1
	for _, p := range x.space.down {
		r := p.Rate()
		if r == 0 {
			continue
		}
		if wait := p.debt(); wait > 0 {
			bytes = 0
			if at := now.Add(wait); at.After(again) {
				again = at
			}
		}
		bytes = min(bytes, uint64(r)*uint64(askAhead/time.Second))
	}
	return bytes, again
}
