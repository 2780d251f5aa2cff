package multifeed

import (
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// Half of every silence that a Hello can name must be kept: a keep-alive at the
// silence itself comes too late.
func TestKeepAliveIsHalfOfTheSilence(t *testing.T) {
	for _, ms := range []time.Duration{0, wire.MinSilence, 20_000, wire.MaxSilence} {
		silence := ms * time.Millisecond
		x := &Session{opened: &Opened{Remote: Party{Silence: silence}}}
		if got, want := x.keepAlive(), silence/2; got != want {
			t.Errorf("keepAlive for a silence of %v = %v, want %v", silence, got, want)
		}
	}
}
