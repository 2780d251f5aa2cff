package multifeed

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// A session is settled when both sides have everything, and stirs with news alone.
func TestSettledSessions(t *testing.T) {
	for _, features := range [][]string{{featureFeeds}, byList.features} {
		synctest.Test(t, func(t *testing.T) {
			secret := NewSecret()
			na, nb := newNode(t, "a"), newNode(t, "b")
			a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address(), WithSecret(secret))
			writeIn(t, a, "log", "one")
			l := connectWith(t, na, a, nb, b, setup{features: features})
			wantSynced(t, a, b)
			time.Sleep(time.Minute) // channels that rest are closed
			synctest.Wait()
			xs := []*Session{a.Sessions()[0], b.Sessions()[0]}
			for i, x := range xs {
				if quiet := time.Since(x.Stirred()); !x.Settled() || quiet <= 0 || !x.Ended().IsZero() {
					t.Errorf("side %d: settled is %v, quiet for %v, ended %v", i, x.Settled(), quiet, x.Ended())
				}
			}
			before := xs[0].Stirred()
			time.Sleep(time.Hour)
			if after := xs[0].Stirred(); after != before {
				t.Errorf("stirred after %v of silence", after.Sub(before))
			}
			f := writeIn(t, a, "log", "two")
			if since := time.Since(xs[0].Stirred()); since > time.Second && xs[0].Settled() {
				t.Errorf("settled with news that was not told, silent for %v", since)
			}
			wantBlock(t, b, f.Key(), 1, "two")
			synctest.Wait()
			for i, x := range xs {
				if !x.Settled() || !x.Stirred().After(before) {
					t.Errorf("side %d after news: settled is %v, last stirred %v", i, x.Settled(), x.Stirred())
				}
			}
			l.cancel()
			l.wait()
			for i, x := range xs {
				if x.Ended().IsZero() || x.Ended().Before(x.Stirred()) || !x.Settled() {
					t.Errorf("side %d after the end: ended %v, stirred %v, settled is %v", i, x.Ended(), x.Stirred(), x.Settled())
				}
			}
		})
	}
}

// Whoever waits for something that only peers can give tells it.
func TestWantsAreTold(t *testing.T) {
	secret := NewSecret()
	s := newNode(t, "a").open(secret.Address(), WithSecret(secret))
	f := writeIn(t, s, "log", "one", "two")
	var mu sync.Mutex
	var told []EventKind
	stop := s.Notify(func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == BlocksWanted || e.Kind == PeersWanted {
			told = append(told, e.Kind)
		}
	})
	defer stop()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, get := range []uint64{0, 2} { // stored, and behind the end: nothing that a peer would lack to tell
		f.Get(over, get)
	}
	if err := f.Clear(within(t), hypercore.Span{Start: 1, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(over, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Get of a cleared block: %v", err)
	}
	f.Download(hypercore.Span{Start: 0, Count: 2}, hypercore.DownloadOptions{}).Cancel()
	if _, err := s.WaitSynced(over); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitSynced without peers: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []EventKind{BlocksWanted, BlocksWanted, PeersWanted}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
