package multifeed

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// dialects are what two sides may have in common.
var dialects = map[string][]string{
	"list": {}, "ranges": {featureHashes, featureRanges}, "feeds": {featureFeeds, featureHashes}, "all": Features(),
}

// sealed is how long a block of a space becomes by its seal.
const sealed = 40

// refusedBy returns what the space's only session was told that is refused, as
// "code text" by feed.
func refusedBy(t *testing.T, s *Space) map[hypercore.DiscoveryKey]Refusal {
	t.Helper()
	all := map[hypercore.DiscoveryKey]Refusal{}
	for _, x := range s.Sessions() {
		for _, r := range x.RefusedBy() {
			all[r.Feed] = r
		}
	}
	return all
}

func stored(t *testing.T, s *Space) (bytes uint64) {
	t.Helper()
	for f := range s.All() {
		_, held := f.Held()
		bytes += held
	}
	return bytes
}

// Each limit of bytes holds to the byte, the writer is told which it is, and when
// it is raised all comes at once.
func TestLimitsOfBytes(t *testing.T) {
	const blocks, size = 20, 1000 + sealed
	for _, c := range []struct {
		name   string
		limits Limits
		node   uint64
		code   RefusalCode
		err    error
		most   uint64 // of two feeds
	}{
		{"feed", Limits{FeedBytes: 10 * size}, 0, RefusedFeedBytes, ErrFeedBytes, 20 * size},
		{"feed, a byte less", Limits{FeedBytes: 10*size - 1}, 0, RefusedFeedBytes, ErrFeedBytes, 18 * size},
		{"space", Limits{SpaceBytes: 10 * size}, 0, RefusedSpaceBytes, ErrSpaceBytes, 10 * size},
		{"space, a byte less", Limits{SpaceBytes: 10*size - 1}, 0, RefusedSpaceBytes, ErrSpaceBytes, 9 * size},
		{"node", Limits{}, 10 * size, RefusedNodeBytes, ErrNodeBytes, 10 * size},
		{"node, a byte less", Limits{}, 10*size - 1, RefusedNodeBytes, ErrNodeBytes, 9 * size},
		{"just enough", Limits{FeedBytes: blocks * size, SpaceBytes: 2 * blocks * size}, 2 * blocks * size, NotRefused, nil, 2 * blocks * size},
	} {
		for name, features := range dialects {
			t.Run(c.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					testLimitOfBytes(t, features, c.limits, c.node, c.code, c.err, c.most)
				})
			})
		}
	}
}

func testLimitOfBytes(t *testing.T, features []string, limits Limits, nodeLimit uint64, code RefusalCode, why error, most uint64) {
	const blocks, size = 20, 1000 + sealed
	address, key := NewOpenAddress(), NewEncryptionKey()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	node := hypercore.NewRation(nil, nodeLimit)
	a := na.open(address, WithEncryptionKey(key))
	b := nb.open(address, WithLimits(limits, node))
	var feeds [2]*Feed
	for i := range feeds {
		feeds[i] = writeIn(t, a, fmt.Sprint(i))
		for range blocks {
			if _, err := feeds[i].Append(t.Context(), []byte(strings.Repeat("x", 1000))); err != nil {
				t.Fatal(err)
			}
		}
	}
	var told atomic.Int32
	b.Notify(func(e Event) {
		if e.Kind == FeedRefused {
			if told.Add(1); !errors.Is(e.Err, why) || !errors.Is(e.Err, hypercore.ErrFull) || e.Feed == nil {
				t.Errorf("refused: %v, want %v", e.Err, why)
			}
		}
	})
	connectWith(t, na, a, nb, b, setup{features: features})
	synctest.Wait()
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if got := stored(t, b); got != most || b.Stored() != got || node.Used() != got {
		t.Errorf("%d bytes stored, %d and %d counted, want %d", got, b.Stored(), node.Used(), most)
	}
	refused := refusedBy(t, a)
	if why == nil {
		if len(refused) > 0 || told.Load() > 0 {
			t.Errorf("refused %v, told %d times", refused, told.Load())
		}
		return
	}
	for _, f := range feeds {
		if r := refused[f.Discovery()]; r.Code != code || r.Text == "" {
			t.Errorf("the writer was told %+v of a feed, want code %d", r, code)
		}
	}
	if int(told.Load()) != len(feeds) {
		t.Errorf("%d events, want one for each feed", told.Load())
	}
	var fetched uint64
	for f := range b.All() {
		fetched += f.Stats().Refused
	}
	if fetched > 2*hypercore.MaxRequests {
		t.Errorf("%d blocks were fetched in vain", fetched)
	}
	node.SetLimit(0)
	if err := b.SetLimits(Limits{}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if got := stored(t, b); got != 2*blocks*size {
		t.Errorf("%d bytes stored without limits, want %d", got, 2*blocks*size)
	}
	if refused := refusedBy(t, a); len(refused) > 0 {
		t.Errorf("still refused: %v", refused)
	}
}

func TestLimitOfFeeds(t *testing.T) {
	for name, features := range dialects {
		t.Run(name, func(t *testing.T) { testLimitOfFeeds(t, features) })
	}
}

func testLimitOfFeeds(t *testing.T, features []string) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a := na.open(secret.Address(), WithSecret(secret))
		b := nb.open(secret.Address(), WithLimits(Limits{Feeds: 3}, nil))
		for i := range 5 {
			writeIn(t, a, fmt.Sprint(i), "block")
		}
		connectWith(t, na, a, nb, b, setup{features: features})
		synctest.Wait()
		if b.Len() != 3 || !b.Exchanged() {
			t.Errorf("%d feeds, exchanged %v, want 3, true", b.Len(), b.Exchanged())
		}
		refused := refusedBy(t, a)
		for _, r := range refused {
			if r.Code != RefusedFeeds {
				t.Errorf("told %+v", r)
			}
		}
		if len(refused) != 2 {
			t.Errorf("%d feeds refused, want 2", len(refused))
		}
		if err := b.SetLimits(Limits{Feeds: 4}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if b.Len() != 4 || len(refusedBy(t, a)) != 1 {
			t.Errorf("with a limit of 4: %d feeds, %d refused", b.Len(), len(refusedBy(t, a)))
		}
		if err := b.SetLimits(Limits{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if b.Len() != 5 || len(refusedBy(t, a)) != 0 || len(b.Progress().Missing) != 0 {
			t.Errorf("without a limit: %d feeds, %d refused, missing %v", b.Len(), len(refusedBy(t, a)), b.Progress().Missing)
		}
	})
}

func TestLimitsOfASpaceThatHasSome(t *testing.T) {
	address, key := NewOpenAddress(), NewEncryptionKey()
	n := newNode(t, "alice")
	s := n.open(address, WithEncryptionKey(key))
	writeIn(t, s, "log", "one", "two")
	if err := s.SetLimits(Limits{}); err == nil || s.Stored() != 0 {
		t.Errorf("SetLimits of a space without = %v, %d stored", err, s.Stored())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	node := hypercore.NewRation(nil, 50)
	s = n.open(address, WithEncryptionKey(key), WithLimits(Limits{}, node))
	if want := uint64(6 + 2*sealed); s.Stored() != want || node.Used() != want {
		t.Errorf("%d stored, %d counted in the node, want %d", s.Stored(), node.Used(), want)
	}
	if _, err := Open(n.store, address, WithLimits(Limits{Feeds: -1}, nil)); err == nil {
		t.Error("a negative limit was taken")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if node.Used() != 0 {
		t.Errorf("%d counted when the space is closed", node.Used())
	}
}

func TestLimitOfAnnouncements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		address := NewOpenAddress()
		s := newNode(t, "alice").open(address, WithLimits(Limits{Announcements: 3}, nil))
		keys := keysOf(5)
		take := func(i int) error {
			_, err := s.TakeAnnounced(Announcement{Entry: Entry{Feed: keys[i]}, Author: []byte("bob"), Time: time.Now()})
			return err
		}
		for i := range 4 {
			if err := take(i); (err != nil) != (i == 3) || i == 3 && !errors.Is(err, ErrAnnouncements) {
				t.Errorf("announcement %d: %v", i, err)
			}
		}
		time.Sleep(time.Minute)
		if err := take(4); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
}
