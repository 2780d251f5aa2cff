package multifeed

import (
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/reconcile"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// rawFeeds is a raw peer that reconciles, with no feeds of its own, as far as the
// test lets it.
func rawFeeds(t *testing.T, nv *node, v *Space) (*raw, *reconcile.Session) {
	t.Helper()
	r := newRawWith(t, "feeds", []string{featureFeeds}, v, nv.party())
	r.names = func() []string { return []string{aboutName, feedsName, "ping feeds"} }
	r.drain()
	r.mustSend(0, &hypercore.Options{Extensions: r.names()})
	return r, reconcile.NewSession(reconcile.New().Snapshot(), reconcile.SessionKey(r.o.Transcript), true)
}

func (r *raw) feeds(page []byte) error {
	return r.send(0, &hypercore.Extension{ID: rawList, Payload: page})
}

// pages returns all of cobox/feeds/1 that was heard so far.
func (r *raw) pages() (all []feedsPage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, m := range r.heard {
		switch m := m.(type) {
		case *hypercore.Options:
			names = m.Extensions
		case *hypercore.Extension:
			if names[m.ID] == feedsName {
				p, err := decodeFeedsPage(m.Payload)
				if err != nil {
					r.t.Error(err)
				}
				all = append(all, p)
			}
		}
	}
	return all
}

func feedsField(num protowire.Number, b []byte) []byte { return bytesField(num, b) }

// An own feed isn't told before the remote has told all that it has.
func TestOwnFeedsWaitForTheReconciliation(t *testing.T) {
	for _, open := range []bool{false, true} {
		ownFeedWaits(t, open)
	}
}

func ownFeedWaits(t *testing.T, open bool) {
	t.Helper()
	n := newNode(t, "alice")
	s := n.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
	f := fill(t, s, 2)
	r, rec := rawFeeds(t, n, s)
	if open {
		r.mustSend(1, &wire.Open{DiscoveryKey: f.Discovery()})
	}
	r.wantAlive()
	told := func() bool {
		return slices.ContainsFunc(r.pages(), func(p feedsPage) bool { return len(p.entries)+len(p.standings) > 0 })
	}
	if shown, _ := f.Shown(); told() || r.count(opened(f.Discovery())) != 0 || shown.Length != 0 {
		t.Fatalf("shown before anything was heard, %d blocks", shown.Length)
	}
	handled := 0
	for !rec.RemoteTold() || !rec.Told() {
		for payload := rec.Next(); payload != nil; payload = rec.Next() {
			if told() {
				t.Fatal("told before the remote has told all")
			}
			if err := r.feeds(feedsField(feedsReconcile, payload)); err != nil {
				t.Fatal(err)
			}
		}
		r.wantAlive()
		pages := r.pages()
		for ; handled < len(pages); handled++ {
			if p := pages[handled].reconcile; p != nil {
				if err := rec.Handle(p); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if open {
		r.await(opened(f.Discovery()))
		return
	}
	r.await(func(wire.Message) bool { return told() })
	if shown, _ := f.Shown(); shown.Length != 2 {
		t.Errorf("shown = %d blocks, want 2", shown.Length)
	}
}

// A hostile peer's entries cost next to nothing once the set is full.
func TestEntriesPastTheLimitAreCheap(t *testing.T) {
	const limit, flood = 20, 100_000
	nv := newNode(t, "victim")
	v := nv.open(NewOpenAddress(), WithMaxFeeds(limit))
	r, _ := rawFeeds(t, nv, v)
	if err := r.feeds(pageOf(false, entriesOf(keysOf(limit))...)); err != nil {
		t.Fatal(err)
	}
	r.wantAlive()
	if n := v.Len(); n != limit {
		t.Fatalf("%d feeds, want %d", n, limit)
	}
	var pages [][]byte
	for n := 0; n < flood; n += 1000 {
		var page []byte
		for i := range 1000 {
			var e Entry
			binary.BigEndian.PutUint64(e.Feed[:], uint64(n+i+1))
			page = append(page, pageOf(false, e)...)
		}
		pages = append(pages, page)
	}
	before := heap()
	began := time.Now()
	for _, page := range pages {
		if err := r.feeds(page); err != nil {
			t.Fatalf("session ended: %v", r.end())
		}
	}
	r.wantAlive()
	t.Logf("%d entries past the limit: %v, %d KiB kept", flood, time.Since(began), (heap()-before)>>10)
	if kept := heap() - before; kept > 8<<20 {
		t.Errorf("%d bytes are kept, want 8 MiB at the most", kept)
	}
	if n := v.Len(); n != limit || recordsOf(t, nv) != limit {
		t.Errorf("%d feeds, %d records, want %d", n, recordsOf(t, nv), limit)
	}
	runtime.KeepAlive(pages)
}

// The first entry of a feed that isn't admitted ends the session, and nothing of
// its page is kept beyond those before it.
func TestUnadmittedEntryEndsTheSession(t *testing.T) {
	secret := NewSecret()
	nv := newNode(t, "victim")
	v := nv.open(secret.Address())
	r, _ := rawFeeds(t, nv, v)
	keys := keysOf(3)
	r.feeds(pageOf(false, Entry{Feed: keys[0], Admission: secret.Admit(keys[0])}, Entry{Feed: keys[1]}, Entry{Feed: keys[2]}))
	r.wantCode(CodeProof)
	if n := v.Len(); n > 1 {
		t.Errorf("%d feeds are in the set", n)
	}
}

func TestFeedsMessagesThatBreakTheRules(t *testing.T) {
	key := keysOf(1)[0]
	standings := func(n int) []byte {
		var b []byte
		for i := range n {
			b = standing{name: uint64(i), length: 1}.append(b)
		}
		return feedsField(feedsStanding, b)
	}
	lacksOf := func(count uint64, names int) []byte {
		return lacks{count: count, named: true, names: make([]byte, names)}.append(nil)
	}
	head := slices.Concat(bytesField(entryFeed, key[:]), varintField(entryLength, 1), bytesField(entryRootHash, make([]byte, 32)), bytesField(entrySignature, make([]byte, 64)))
	for name, c := range map[string]struct {
		page []byte
		want Code
	}{
		"standings":                      {standings(3), CodeNone},
		"standing cut off":               {feedsField(feedsStanding, standing{length: 1}.append(nil)[:9]), CodeProtocol},
		"standing without a length":      {feedsField(feedsStanding, make([]byte, 8)), CodeProtocol},
		"name cut off":                   {feedsField(feedsStanding, make([]byte, 7)), CodeProtocol},
		"lacks more than there is":       {feedsField(feedsStanding, standing{length: 1, lacks: 2}.append(nil)), CodeProtocol},
		"length over 2^53-1":             {feedsField(feedsStanding, standing{length: 1 << 53}.append(nil)), CodeProtocol},
		"lacks":                          {lacksOf(2, 2*nameSize), CodeNone},
		"lacks none":                     {lacksOf(0, 0), CodeNone},
		"as many named as may be":        {lacksOf(MaxLacksNamed, MaxLacksNamed*nameSize), CodeNone},
		"one named too many":             {lacksOf(MaxLacksNamed+1, (MaxLacksNamed+1)*nameSize), CodeProtocol},
		"fewer names than feeds":         {lacksOf(2, nameSize), CodeProtocol},
		"names cut off":                  {lacksOf(1, nameSize-1), CodeProtocol},
		"lacks of numbers":               {varintField(feedsLacks, 1), CodeProtocol},
		"entry that lacks too much":      {bytesField(pageEntry, slices.Concat(head, varintField(entryLacks, 2))), CodeProtocol},
		"reconcile of a number":          {varintField(feedsReconcile, 1), CodeProtocol},
		"reconcile of nonsense":          {feedsField(feedsReconcile, []byte("nonsense")), CodeProtocol},
		"last of bytes":                  {bytesField(pageLast, nil), CodeProtocol},
		"unknown fields":                 {slices.Concat(varintField(77, 1), bytesField(78, nil)), CodeNone},
		"as long as may be":              {feedsField(90, make([]byte, MaxFeedsMessage-5)), CodeNone},
		"a byte too long":                {feedsField(90, make([]byte, MaxFeedsMessage-4)), CodeLimit},
		"evidence of a feed not here":    {forkField(keysOf(2)[1], []byte{1}), CodeNone},
		"standing of a feed not here":    {standings(1), CodeNone},
		"good standing, then one cut":    {feedsField(feedsStanding, append(standing{length: 1}.append(nil), 1)), CodeProtocol},
		"as a list: entry with no field": {bytesField(pageEntry, nil), CodeProtocol},
	} {
		nv, v, _ := openSpace(t, 1)
		r, _ := rawFeeds(t, nv, v)
		r.feeds(c.page)
		if err := r.settled(); CodeOf(err) != c.want {
			t.Errorf("%s: %v, want code %v", name, err, c.want)
		}
	}
}

func TestStandingsInAMinuteAreLimited(t *testing.T) {
	nv, v, _ := openSpace(t, 1)
	r, _ := rawFeeds(t, nv, v)
	var b []byte
	for range 4096 {
		b = standing{name: 1}.append(b)
	}
	each := len(b) / nameSize
	page := feedsField(feedsStanding, b)
	sent := 0
	for ; sent+each <= MaxFeedsTold; sent += each {
		if r.feeds(page) != nil {
			t.Fatalf("session ended after %d: %v", sent, r.end())
		}
	}
	r.wantAlive()
	r.feeds(page)
	r.wantCode(CodeLimit)
}

func FuzzFeedsPage(f *testing.F) {
	key := keysOf(1)[0]
	f.Add(pageOf(true, Entry{Feed: key}))
	f.Add(lacks{count: 1, named: true, names: make([]byte, nameSize)}.append(nil))
	f.Add(feedsField(feedsStanding, standing{1, 300, 2}.append(nil)))
	f.Add(forkField(key, []byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeFeedsPage(b)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Fatalf("error %v is no errMalformed", err)
			}
			return
		}
		if p.lacks != nil {
			again, err := decodeFeedsPage(p.lacks.append(nil))
			if err != nil || again.lacks.count != p.lacks.count || string(again.lacks.names) != string(p.lacks.names) {
				t.Errorf("lacks %+v came back as %+v, %v", p.lacks, again.lacks, err)
			}
		}
		var all []byte
		if eachStanding(p.standings, func(s standing) error { all = s.append(all); return nil }) != nil {
			return
		}
		var twice []byte
		if err := eachStanding(all, func(s standing) error { twice = s.append(twice); return nil }); err != nil || string(all) != string(twice) {
			t.Errorf("standings %x came back as %x, %v", all, twice, err)
		}
	})
}
