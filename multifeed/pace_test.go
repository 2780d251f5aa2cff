package multifeed

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// A space of more feeds than a peer may tell in a minute is told over several,
// and the other side bears it.
func TestLargeSetsAreToldSlowly(t *testing.T) {
	if raceDetector && !soak {
		t.Skip("checking thousands of keys is slow with the race detector")
	}
	n := maxTold + 300
	keys := keysOf(n)
	synctest.Test(t, func(t *testing.T) {
		address := NewOpenAddress()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(address, WithMaxFeeds(n)), nb.open(address, WithMaxFeeds(n), WithPolicy(func(Offer) error { return errNotNow }))
		for _, k := range keys {
			if _, err := a.Add(k, Admission{}); err != nil {
				t.Fatal(err)
			}
		}
		refused := map[hypercore.Key]bool{}
		b.Notify(func(e Event) {
			if e.Kind == FeedRefused {
				refused[e.Key] = true
			}
		})
		connectWith(t, na, a, nb, b, byList)
		synctest.Wait()
		if len(refused) != maxTold || b.Exchanged() {
			t.Fatalf("%d feeds told at once, exchanged %v, want %d, false", len(refused), b.Exchanged(), maxTold)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(refused) != n || !b.Exchanged() || !a.Exchanged() {
			t.Errorf("%d feeds told after a minute, exchanged %v, want %d, true", len(refused), b.Exchanged(), n)
		}
	})
}
