package multifeed

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// anEntry returns a valid entry of a new feed of the space.
func anEntry(secret Secret) Entry {
	pair := hypercore.NewKeyPair([32]byte{1, 2, 3})
	e := Entry{Feed: pair.Public, Length: 3, Admission: secret.Admit(pair.Public)}
	e.RootHash[0] = 9
	e.Signature = pair.Sign(hypercore.Signable(e.RootHash, e.Length))
	return e
}

func anAnnouncement(secret Secret) Announcement {
	return Announcement{
		Entry: anEntry(secret), Author: []byte("author"), Record: []byte("record"),
		Sequence: 7, Time: time.UnixMilli(1_700_000_000_000),
	}
}

func TestAnnouncement(t *testing.T) {
	secret := NewSecret()
	want := anAnnouncement(secret)
	sealed, err := SealAnnouncement(secret.Address(), want)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, want.Entry.Feed[:]) {
		t.Error("the feed key can be read from outside")
	}
	got, err := OpenAnnouncement(secret.Address(), sealed)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("opened as %+v, %v, want %+v", got, err, want)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := OpenAnnouncement(secret.Address(), bad); !errors.Is(err, ErrAnnouncement) {
			t.Fatalf("with byte %d changed: %v", i, err)
		}
	}
}

func TestAnnouncementRefused(t *testing.T) {
	secret := NewSecret()
	for name, change := range map[string]func(*Announcement){
		"longer than signed": func(a *Announcement) { a.Entry.Length++ },
		"other root":         func(a *Announcement) { a.Entry.RootHash[0]++ },
		"not admitted":       func(a *Announcement) { a.Entry.Admission = Admission{} },
		"weak key":           func(a *Announcement) { a.Entry = Entry{Feed: hypercore.Key{1}} },
		"the address":        func(a *Announcement) { a.Entry = Entry{Feed: secret.Address().Key} },
	} {
		a := anAnnouncement(secret)
		change(&a)
		sealed, err := SealAnnouncement(secret.Address(), a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAnnouncement(secret.Address(), sealed); !errors.Is(err, ErrAnnouncement) {
			t.Errorf("%s: %v, want %v", name, err, ErrAnnouncement)
		}
	}
	address := secret.Address()
	for name, b := range map[string][]byte{
		"nothing inside": address.announceSeal().Seal(nil, nil),
		"no author":      address.announceSeal().Seal(nil, append([]byte{1<<3 | 2, byte(len(appendEntry(nil, anEntry(secret))))}, appendEntry(nil, anEntry(secret))...)),
		"too long":       make([]byte, MaxAnnouncement+1),
		"empty":          nil,
	} {
		if _, err := OpenAnnouncement(address, b); !errors.Is(err, ErrAnnouncement) {
			t.Errorf("%s: %v, want %v", name, err, ErrAnnouncement)
		}
	}
}

func TestAnnouncementLimits(t *testing.T) {
	secret := NewSecret()
	most := anAnnouncement(secret)
	most.Author = bytes.Repeat([]byte{1}, MaxAnnouncedPeer)
	most.Record = bytes.Repeat([]byte{1}, MaxAnnouncedRecord)
	sealed, err := SealAnnouncement(secret.Address(), most)
	if err != nil || len(sealed) > MaxAnnouncement {
		t.Fatalf("at the limits: %d bytes, %v", len(sealed), err)
	}
	if _, err := OpenAnnouncement(secret.Address(), sealed); err != nil {
		t.Errorf("at the limits: %v", err)
	}
	over := most
	over.Record = append(over.Record, 1)
	if _, err := SealAnnouncement(secret.Address(), over); err == nil {
		t.Error("a record over the limit was sealed")
	}
	over = most
	over.Author = append(over.Author, 1)
	if _, err := SealAnnouncement(secret.Address(), over); err == nil {
		t.Error("an author over the limit was sealed")
	}
}

func TestAnnounced(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	a := Announcement{Author: []byte("a"), Sequence: 5, Time: now}
	var l Announced
	for i, c := range []struct {
		sequence uint64
		at       time.Duration // of the announcement, from now
		want     error
	}{
		{5, -MaxAnnouncementAge - 1, ErrStale},
		{5, MaxAnnouncementSkew + 1, ErrStale},
		{5, -MaxAnnouncementAge, nil},
		{5, 0, ErrStale},
		{4, 0, ErrStale},
		{6, MaxAnnouncementSkew, nil},
	} {
		a.Sequence, a.Time = c.sequence, now.Add(c.at)
		if err := l.Take(a, now); !errors.Is(err, c.want) {
			t.Errorf("step %d: %v, want %v", i, err, c.want)
		}
	}
	a.Entry.Feed[0] = 1
	if err := l.Take(Announcement{Author: a.Author, Entry: a.Entry, Time: now}, now); err != nil {
		t.Errorf("another feed of the author: %v", err)
	}
	for i := 2; i < MaxAnnouncers; i++ {
		if err := l.Take(Announcement{Author: fmt.Append(nil, i), Time: now}, now); err != nil {
			t.Fatalf("author %d: %v", i, err)
		}
	}
	more := Announcement{Author: []byte("more"), Time: now}
	if err := l.Take(more, now); !errors.Is(err, ErrStale) {
		t.Errorf("over the limit: %v", err)
	}
	later := now.Add(MaxAnnouncementAge + MaxAnnouncementSkew + 1)
	more.Time = later
	if err := l.Take(more, later); err != nil {
		t.Errorf("after the others were forgotten: %v", err)
	}
}

func TestTakeAnnounced(t *testing.T) {
	secret := NewSecret()
	refused := errors.New("not this one")
	var policy error
	n := newNode(t, "n")
	s := n.open(secret.Address(), WithSecret(secret), WithMaxFeeds(1), WithPolicy(func(o Offer) error {
		if !bytes.Equal(o.Remote, []byte("author")) || o.Length != 3 {
			t.Errorf("policy was asked for %+v", o)
		}
		return policy
	}))
	a := anAnnouncement(secret)
	policy = refused
	if _, err := s.TakeAnnounced(a); !errors.Is(err, refused) {
		t.Errorf("against the policy: %v", err)
	}
	policy = nil
	f, err := s.TakeAnnounced(a)
	if err != nil || f.KnownLength() != 3 || f.Length() != 0 {
		t.Fatalf("taken as %+v, %v", f, err)
	}
	policy = refused // not asked again
	if again, err := s.TakeAnnounced(a); err != nil || again != f {
		t.Errorf("again: %v, %v", again, err)
	}
	policy = nil
	a.Entry.Feed = hypercore.NewKeyPair([32]byte{9}).Public
	a.Entry.Admission = secret.Admit(a.Entry.Feed)
	if _, err := s.TakeAnnounced(a); !errors.Is(err, ErrTooMany) {
		t.Errorf("over the limit of feeds: %v", err)
	}
}

func FuzzOpenAnnouncement(f *testing.F) {
	secret := Secret{1}
	address := secret.Address()
	sealed, err := SealAnnouncement(address, anAnnouncement(secret))
	if err != nil {
		f.Fatal(err)
	}
	inside, err := address.announceSeal().Open(nil, sealed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(inside)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAnnouncement(b)
		if err != nil {
			return
		}
		sealed, err := SealAnnouncement(address, a)
		if err != nil {
			t.Fatalf("what was decoded can't be sealed: %v", err)
		}
		inside, err := address.announceSeal().Open(nil, sealed)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeAnnouncement(inside)
		if err != nil || again.Sequence != a.Sequence || !again.Time.Equal(a.Time) || again.Entry != a.Entry {
			t.Fatalf("decoded again as %+v, %v, want %+v", again, err, a)
		}
	})
}
