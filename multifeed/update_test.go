package multifeed

import (
	"testing"
	"testing/synctest"
	"time"
)

// Update asks the peers also when the feed's channel was closed.
func TestUpdateOpensTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address(), WithSecret(secret))
		f := fill(t, a, 3)
		connect(t, na, a, nb, b)
		wantSynced(t, a, b)
		time.Sleep(2 * quietTime)
		synctest.Wait()
		g, err := b.Feed(f.Key())
		if err != nil || b.Sessions()[0].PeerOf(g) != nil {
			t.Fatalf("the channel is open, %v", err)
		}
		if n, err := g.Update(within(t)); n != 3 || err != nil {
			t.Errorf("Update = %d, %v, want 3", n, err)
		}
	})
}
