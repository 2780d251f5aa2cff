package multifeed

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// A feed that is blocked comes from nobody: not from its writer, not from a third
// peer that relays it, not by an announcement and not in a bundle.
func TestBlockedFeedStaysOut(t *testing.T) {
	for name, features := range dialects {
		t.Run(name, func(t *testing.T) { blockedFeedStaysOut(t, setup{features: features}) })
	}
}

func blockedFeedStaysOut(t *testing.T, with setup) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		nw, nr, nv := newNode(t, "writer"), newNode(t, "relayer"), newNode(t, "victim")
		w := nw.open(secret.Address(), WithSecret(secret))
		r := nr.open(secret.Address())
		bad, good := writeIn(t, w, "bad", "spam"), writeIn(t, w, "good", "ham")
		v := nv.open(secret.Address(), WithSecret(secret), WithBlocked(bad.Key()))
		connectWith(t, nw, w, nr, r, with)
		connectWith(t, nr, r, nv, v, with)
		connectWith(t, nw, w, nv, v, with)
		synctest.Wait()
		wantBlock(t, v, good.Key(), 0, "ham")
		if r.Len() != 2 || v.Len() != 1 {
			t.Fatalf("the relayer has %d feeds, who blocked one %d, want 2 and 1", r.Len(), v.Len())
		}
		if got := refusedBy(t, r)[bad.Discovery()]; got.Code != RefusedBlocked {
			t.Errorf("the relayer was told %+v", got)
		}
		a := Announcement{Entry: Entry{Feed: bad.Key(), Admission: bad.Admission()}, Author: []byte("other"), Time: time.Now()}
		if _, err := v.TakeAnnounced(a); !errors.Is(err, ErrBlocked) {
			t.Errorf("announced: %v", err)
		}
		bundle, _ := bundleOf(t, r)
		if got := readAll(t, v, bundle); got.Refused != 1 || v.Len() != 1 {
			t.Errorf("bundled: %+v, %d feeds", got, v.Len())
		}
		v.Unblock(bad.Key())
		synctest.Wait()
		wantBlock(t, v, bad.Key(), 0, "spam")
		if len(v.Blocked()) != 0 || len(refusedBy(t, r)) != 0 {
			t.Errorf("after Unblock %v, refused %v", v.Blocked(), refusedBy(t, r))
		}
	})
}

// A feed that is blocked while it is shared is neither fetched nor served from then
// on, and what is here stays.
func TestBlockAFeedThatIsShared(t *testing.T) {
	for name, features := range dialects {
		t.Run(name, func(t *testing.T) { blockAFeedThatIsShared(t, setup{features: features}) })
	}
}

func blockAFeedThatIsShared(t *testing.T, with setup) {
	synctest.Test(t, func(t *testing.T) {
		address, key := NewOpenAddress(), NewEncryptionKey()
		nw, nv, nr := newNode(t, "writer"), newNode(t, "victim"), newNode(t, "reader")
		w, v, r := nw.open(address, WithEncryptionKey(key)), nv.open(address, WithEncryptionKey(key)), nr.open(address, WithEncryptionKey(key))
		bad, good := writeIn(t, w, "bad", "one"), writeIn(t, w, "good", "one")
		connectWith(t, nw, w, nv, v, with)
		synctest.Wait()
		if err := v.Block(bad.Key()); err != nil {
			t.Fatal(err)
		}
		writeIn(t, w, "bad", "two")
		writeIn(t, w, "good", "two")
		connectWith(t, nv, v, nr, r, with)
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		wantBlock(t, v, good.Key(), 1, "two")
		wantBlock(t, v, bad.Key(), 0, "one")
		wantBlock(t, r, good.Key(), 1, "two")
		f, err := v.Feed(bad.Key())
		if err != nil || f.Length() != 1 {
			t.Errorf("length %d, %v of a blocked feed, want 1", f.Length(), err)
		}
		if f, err := r.Feed(bad.Key()); err == nil && f.Length() > 0 {
			t.Errorf("a blocked feed was served: length %d", f.Length())
		}
		if len(v.Sessions()) != 2 {
			t.Fatalf("%d sessions, want 2", len(v.Sessions()))
		}
		v.Unblock(bad.Key())
		synctest.Wait()
		wantBlock(t, v, bad.Key(), 1, "two")
		wantBlock(t, r, bad.Key(), 1, "two")
	})
}

func TestBlockRefusesOwnFeeds(t *testing.T) {
	s := newNode(t, "alice").open(NewOpenAddress(), WithEncryptionKey(NewEncryptionKey()))
	w := writeIn(t, s, "log", "one")
	if err := s.Block(w.Key()); !errors.Is(err, errBlockOwn) || len(s.Blocked()) != 0 {
		t.Errorf("Block of an own feed = %v, blocked %v", err, s.Blocked())
	}
	keys := keysOf(3)
	for _, k := range keys {
		if err := s.Block(k); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Blocked()
	if len(got) != 3 || bytes.Compare(got[0][:], got[1][:]) > 0 || bytes.Compare(got[1][:], got[2][:]) > 0 {
		t.Errorf("Blocked = %v", got)
	}
	s.Unblock(hypercore.Key{})
}
