package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// dialer stands for the network below offers.
type dialer struct {
	*offers
	began time.Time

	mu     sync.Mutex
	answer map[peer.ID]func(ctx context.Context, p peer.AddrInfo) error // nil: success
	tried  map[peer.ID][]time.Duration                                  // when, since the start
	linked map[peer.ID]bool
}

// newDialer runs offers in the test's bubble until the test ends.
func newDialer(t *testing.T) *dialer {
	t.Helper()
	d := &dialer{
		began: time.Now(), answer: map[peer.ID]func(context.Context, peer.AddrInfo) error{},
		tried: map[peer.ID][]time.Duration{}, linked: map[peer.ID]bool{},
	}
	d.offers = newOffers(make(chan struct{}, MaxDials), d.dial, func(id peer.ID, _ bool) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return !d.linked[id]
	})
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { d.run(ctx) })
	t.Cleanup(func() { stop(); done.Wait() })
	return d
}

func (d *dialer) dial(ctx context.Context, p peer.AddrInfo, _ bool) error {
	d.mu.Lock()
	d.tried[p.ID] = append(d.tried[p.ID], time.Since(d.began))
	answer := d.answer[p.ID]
	d.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, p); err != nil {
			return err
		}
	}
	d.mu.Lock()
	d.linked[p.ID] = true
	d.mu.Unlock()
	return nil
}

func (d *dialer) fail(id peer.ID, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer[id] = func(context.Context, peer.AddrInfo) error { return err }
}

func (d *dialer) tries(id peer.ID) []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]time.Duration(nil), d.tried[id]...)
}

func (d *dialer) end(id peer.ID, err error, lasted time.Duration) {
	d.mu.Lock()
	delete(d.linked, id)
	d.mu.Unlock()
	d.ended(peer.AddrInfo{ID: id}, err, lasted)
}

func remote(code multifeed.Code) error {
	return &network.StreamError{ErrorCode: network.StreamErrorCode(code), Remote: true}
}

// Each failure leads to its own pace, and none to silence.
func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		err         error
		first, most time.Duration // of the pauses, without jitter
	}{
		{errors.New("no route"), time.Second, 10 * time.Minute},
		{context.DeadlineExceeded, time.Second, 10 * time.Minute},
		{remote(multifeed.CodeInternal), time.Second, 10 * time.Minute},
		{remote(multifeed.CodeNone), time.Second, 10 * time.Minute},
		{remote(multifeed.CodeDuplicate), time.Second, time.Second},
		{remote(multifeed.CodeLeft), 30 * time.Second, 30 * time.Second},
		{remote(multifeed.CodeShutdown), 30 * time.Second, 30 * time.Second},
		{remote(multifeed.CodeRefused), time.Minute, time.Hour},
		{remote(multifeed.CodePolicy), time.Minute, time.Hour},
		{&multifeed.ProtocolError{Code: multifeed.CodeProtocol}, 30 * time.Second, time.Hour},
		{&hypercore.RemoteError{Err: errors.New("bad proof")}, 30 * time.Second, time.Hour},
		{ErrNotAllowed, time.Minute, time.Hour},
		{errFull, 30 * time.Second, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDialer(t)
			d.fail("bad", c.err)
			d.add(peer.AddrInfo{ID: "bad"}, string(discovery.SourceBook))
			time.Sleep(30 * time.Hour)
			synctest.Wait()
			tries := d.tries("bad")
			if want := maxFailures + 1; len(tries) != want {
				t.Fatalf("%v: %d tries, want %d", c.err, len(tries), want)
			}
			want := c.first
			for i := 1; i < len(tries); i++ {
				if pause := tries[i] - tries[i-1]; pause < want/2 || pause > want*3/2 {
					t.Errorf("%v: pause %d is %v, want about %v", c.err, i, pause, want)
				}
				want = min(2*want, c.most)
			}
		})
	}
}

// The peer's fault keeps its own streams away for the while.
func TestFaultsBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		d.add(peer.AddrInfo{ID: "bad"}, string(discovery.SourceBook))
		synctest.Wait()
		d.end("bad", &multifeed.ProtocolError{Code: multifeed.CodeProof}, time.Second)
		d.end("unlucky", errors.New("no route"), time.Second)
		if until := d.barred("bad"); !until.After(time.Now()) {
			t.Error("a peer at fault is not barred")
		}
		if until := d.barred("unlucky"); !until.IsZero() {
			t.Errorf("a peer whose connection broke is barred until %v", until)
		}
		time.Sleep(paceFault.base * 3 / 2)
		if until := d.barred("bad"); until.After(time.Now()) {
			t.Errorf("still barred until %v", until)
		}
	})
}

func TestLostSessionsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		d.add(peer.AddrInfo{ID: "a"}, string(discovery.SourceDHT))
		synctest.Wait()
		for i := range 5 { // long sessions: the pause does not grow
			time.Sleep(time.Hour)
			d.end("a", errors.New("connection reset"), time.Hour)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if got := len(d.tries("a")); got != i+2 {
				t.Fatalf("%d tries after %d ends", got, i+1)
			}
		}
		d.end("inbound", errors.New("connection reset"), time.Second) // never dialled before
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := len(d.tries("inbound")); got != 1 {
			t.Errorf("a peer that had come by itself was tried %d times", got)
		}
	})
}

func TestConnectDoesNotWaitForBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		bad := errors.New("no route")
		d.fail("a", bad)
		for range 3 {
			if err := <-d.now(peer.AddrInfo{ID: "a"}, sourceHand); !errors.Is(err, bad) {
				t.Fatalf("got %v, want %v", err, bad)
			}
		}
		if took := time.Since(d.began); took != 0 {
			t.Errorf("three tries by hand took %v", took)
		}
		// A try that runs already may have old addresses: it is not the one meant.
		old, next := multiaddr.StringCast("/ip4/192.0.2.1/tcp/1"), multiaddr.StringCast("/ip4/192.0.2.2/tcp/2")
		d.mu.Lock()
		d.answer["b"] = func(_ context.Context, p peer.AddrInfo) error {
			time.Sleep(time.Second)
			if p.Addrs[0].Equal(old) {
				return bad
			}
			return nil
		}
		d.mu.Unlock()
		d.add(peer.AddrInfo{ID: "b", Addrs: []multiaddr.Multiaddr{old}}, string(discovery.SourceDHT))
		synctest.Wait()
		if err := <-d.now(peer.AddrInfo{ID: "b", Addrs: []multiaddr.Multiaddr{next}}, sourceHand); err != nil {
			t.Errorf("with a new address: %v", err)
		}
	})
}

func TestNewAddressIsTriedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		d.fail("a", errors.New("no route"))
		d.add(peer.AddrInfo{ID: "a", Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.1/tcp/1")}}, string(discovery.SourceBook))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		before := len(d.tries("a"))
		same := peer.AddrInfo{ID: "a", Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.1/tcp/1")}}
		d.add(same, string(discovery.SourceDHT))
		synctest.Wait()
		if got := len(d.tries("a")); got != before {
			t.Errorf("the same address again led to a try")
		}
		same.Addrs[0] = multiaddr.StringCast("/ip4/192.0.2.1/tcp/2")
		d.add(same, string(discovery.SourceDHT))
		synctest.Wait()
		if got := len(d.tries("a")); got != before+1 {
			t.Errorf("a new address led to %d tries, want 1", got-before)
		}
	})
}

// W19: candidates from a flooder neither keep the right peer away nor all of the
// dialling to themselves, and their number is bounded.
func TestW19FloodOfCandidates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		for i := range 3 * MaxCandidates {
			id := peer.ID(fmt.Sprintf("flood %d", i))
			d.mu.Lock()
			d.answer[id] = func(ctx context.Context, _ peer.AddrInfo) error {
				select {
				case <-time.After(DialTimeout):
				case <-ctx.Done():
				}
				return context.DeadlineExceeded
			}
			d.mu.Unlock()
			d.add(peer.AddrInfo{ID: id}, string(discovery.SourceDHT))
		}
		synctest.Wait()
		d.offers.mu.Lock()
		if n := len(d.peers); n > MaxCandidates {
			t.Errorf("%d candidates, want at most %d", n, MaxCandidates)
		}
		if d.busy != maxSpaceDials {
			t.Errorf("%d tries at once, want %d", d.busy, maxSpaceDials)
		}
		d.offers.mu.Unlock()
		d.add(peer.AddrInfo{ID: "remembered"}, string(discovery.SourceBook))
		d.want(peer.AddrInfo{ID: "shared"}, sourceShared, 0)
		hand := d.now(peer.AddrInfo{ID: "hand"}, sourceHand)
		time.Sleep(DialTimeout)
		synctest.Wait()
		if err := <-hand; err != nil {
			t.Errorf("by hand: %v", err)
		}
		if len(d.tries("shared")) != 1 {
			t.Error("a peer that shares the space was not tried before strangers")
		}
		if len(d.slots) > maxSpaceDials {
			t.Errorf("one space holds %d of %d slots", len(d.slots), MaxDials)
		}
	})
}

func TestDialErrorIsOneLine(t *testing.T) {
	cause := errors.New("failed to dial: all dials failed\n  * [/ip4/192.0.2.1/tcp/1] refused\n  * [/ip4/192.0.2.2/tcp/1] no route")
	err := error(&dialError{cause})
	want := "dial: failed to dial: all dials failed [/ip4/192.0.2.1/tcp/1] refused; [/ip4/192.0.2.2/tcp/1] no route"
	if err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("got %q, want %q", err, want)
	}
	many := errors.New("failed" + strings.Repeat("\n  * refused", maxDialDetails+2))
	if got, want := (&dialError{many}).Error(), "dial: failed refused; refused; refused and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (&dialError{errors.New("no addresses")}).Error(); got != "dial: no addresses" {
		t.Errorf("got %q", got)
	}
}

func TestSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		left, leave := context.WithCancel(t.Context())
		d.mu.Lock()
		d.answer["slow"] = func(context.Context, peer.AddrInfo) error { time.Sleep(time.Second); return nil }
		d.mu.Unlock()
		d.add(peer.AddrInfo{ID: "slow"}, string(discovery.SourceDHT))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := d.settled(ctx, left); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while a try runs: %v", err)
		}
		if err := d.settled(t.Context(), left); err != nil || time.Since(d.began) != time.Second {
			t.Errorf("after %v: %v", time.Since(d.began), err)
		}
		leave()
		if err := d.settled(t.Context(), left); !errors.Is(err, ErrLeft) {
			t.Errorf("after leaving: %v", err)
		}
	})
}

func TestHurrySparesTheBarred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		d.fail("far", errors.New("no route"))
		d.fail("bad", &multifeed.ProtocolError{Code: multifeed.CodeProof})
		for _, id := range []peer.ID{"far", "bad"} {
			d.add(peer.AddrInfo{ID: id}, string(discovery.SourceBook))
		}
		synctest.Wait()
		d.hurry()
		synctest.Wait()
		if far, bad := len(d.tries("far")), len(d.tries("bad")); far != 2 || bad != 1 {
			t.Errorf("tries: %d of the far peer and %d of the barred one, want 2 and 1", far, bad)
		}
	})
}

// A session that ends while somebody waits for a try does not put the try off,
// and neither does a peer that an exchange of tags names again.
func TestNothingPutsOffWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		// The slots are taken: the try can't begin yet.
		for range MaxDials {
			d.slots <- struct{}{}
		}
		d.add(peer.AddrInfo{ID: "a"}, string(discovery.SourceDHT))
		synctest.Wait()
		first := d.now(peer.AddrInfo{ID: "a"}, sourceHand)
		d.end("a", remote(multifeed.CodeProof), time.Second)
		d.want(peer.AddrInfo{ID: "a"}, sourceShared, time.Hour)
		for range MaxDials {
			<-d.slots
		}
		if err := <-first; err != nil || time.Since(d.began) > time.Second {
			t.Errorf("after %v: %v", time.Since(d.began), err)
		}
	})
}

// Who broke the rules can't have himself offered the space before his time by
// exchanging tags. The user can.
func TestWantSparesTheBarred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		d.fail("bad", &multifeed.ProtocolError{Code: multifeed.CodeProof})
		d.add(peer.AddrInfo{ID: "bad"}, string(discovery.SourceDHT))
		synctest.Wait()
		for range 100 {
			d.want(peer.AddrInfo{ID: "bad"}, sourceShared, 0)
		}
		synctest.Wait()
		if n := len(d.tries("bad")); n != 1 {
			t.Errorf("%d tries, want 1", n)
		}
		d.now(peer.AddrInfo{ID: "bad"}, sourceHand)
		synctest.Wait()
		if n := len(d.tries("bad")); n != 2 {
			t.Errorf("%d tries after one by hand, want 2", n)
		}
	})
}
