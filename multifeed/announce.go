package multifeed

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Limits of announcements.
const (
	// MaxAnnouncement is the longest sealed announcement in bytes.
	MaxAnnouncement = 8 << 10
	// MaxAnnouncedRecord is the longest signed peer record in one, in bytes.
	MaxAnnouncedRecord = 4 << 10
	// MaxAnnouncedPeer is the longest peer ID in one, in bytes.
	MaxAnnouncedPeer = 64
	// MaxAnnouncementAge is how long an announcement is taken in.
	MaxAnnouncementAge = time.Hour
	// MaxAnnouncementSkew is how far its author's clock may be ahead of ours.
	MaxAnnouncementSkew = 10 * time.Minute
	// MaxAnnouncers is how many pairs of author and feed are told apart.
	MaxAnnouncers = 8192
)

// Announcement tells peers of a space, over gossip, of a feed and its head. See
// interop/spec/announcements.md.
type Announcement struct {
	Entry    Entry
	Author   []byte // binary peer ID of who announces; not always who writes the feed
	Record   []byte // the author's signed peer record as libp2p encodes it; nil for none
	Sequence uint64 // rises with each announcement of the author
	Time     time.Time
}

// ErrAnnouncement is wrapped by what OpenAnnouncement returns: no honest node
// passes such an announcement on.
var ErrAnnouncement = errors.New("multifeed: invalid announcement")

// ErrStale says that an announcement is too old, from the future or out of
// order. Honest nodes may pass it on.
var ErrStale = errors.New("multifeed: announcement is not of now")

// Field numbers of an announcement.
const (
	announceEntry    = 1 // message Entry
	announceAuthor   = 2 // bytes, at most MaxAnnouncedPeer
	announceRecord   = 3 // bytes, at most MaxAnnouncedRecord; absent for none
	announceSequence = 4 // uvarint
	announceTime     = 5 // uvarint, milliseconds since 1970 UTC
)

// Topic returns the key that names the space's gossip topic. It tells nothing of
// the address, and neither of the discovery key.
func (a Address) Topic() [32]byte {
	return hypercore.KeyedHash(a.Key[:], []byte("cobox/1 topic"))
}

func (a Address) announceSeal() *hypercore.Seal {
	return hypercore.NewSeal(hypercore.KeyedHash(a.Key[:], []byte("cobox/1 announce")))
}

// SealAnnouncement returns the announcement as only who knows the address can
// read it. It fails over a limit.
func SealAnnouncement(address Address, a Announcement) ([]byte, error) {
	if len(a.Author) == 0 || len(a.Author) > MaxAnnouncedPeer || len(a.Record) > MaxAnnouncedRecord {
		return nil, fmt.Errorf("multifeed: announcement of an author of %d bytes with a record of %d", len(a.Author), len(a.Record))
	}
	b := protowire.AppendBytes(protowire.AppendTag(nil, announceEntry, protowire.BytesType), appendEntry(nil, a.Entry))
	b = protowire.AppendBytes(protowire.AppendTag(b, announceAuthor, protowire.BytesType), a.Author)
	if len(a.Record) > 0 {
		b = protowire.AppendBytes(protowire.AppendTag(b, announceRecord, protowire.BytesType), a.Record)
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, announceSequence, protowire.VarintType), a.Sequence)
	b = protowire.AppendVarint(protowire.AppendTag(b, announceTime, protowire.VarintType), uint64(a.Time.UnixMilli()))
	return address.announceSeal().Seal(nil, b), nil
}

// OpenAnnouncement opens an announcement of the space and checks all that every
// node must refuse: size, seal, form, the signature of the head, and the
// admission of the feed. That the author is who sent it and that the record is
// his is left to the caller. The result holds no part of sealed.
func OpenAnnouncement(address Address, sealed []byte) (Announcement, error) {
	if len(sealed) > MaxAnnouncement {
		return Announcement{}, fmt.Errorf("%w: %d bytes", ErrAnnouncement, len(sealed))
	}
	b, err := address.announceSeal().Open(nil, sealed)
	if err != nil {
		return Announcement{}, fmt.Errorf("%w: not sealed for this space", ErrAnnouncement)
	}
	a, err := decodeAnnouncement(b)
	if err == nil {
		err = a.Entry.check(address)
	}
	if err != nil {
		return Announcement{}, fmt.Errorf("%w: %w", ErrAnnouncement, err)
	}
	return a, nil
}

func decodeAnnouncement(b []byte) (a Announcement, err error) {
	var entry bool
	err = eachField(b, func(num protowire.Number, v field) error {
		switch num {
		case announceEntry:
			entry = true
			a.Entry, err = decodeEntry(v.bytes)
			return err
		case announceAuthor:
			a.Author = v.bytes
		case announceRecord:
			a.Record = v.bytes
		case announceSequence:
			a.Sequence = v.number
		case announceTime:
			a.Time = time.UnixMilli(int64(min(v.number, 1<<53)))
		}
		return nil
	})
	switch {
	case err != nil:
		return a, err
	case !entry:
		return a, errors.New("no entry")
	case len(a.Author) == 0 || len(a.Author) > MaxAnnouncedPeer:
		return a, fmt.Errorf("author of %d bytes", len(a.Author))
	case len(a.Record) > MaxAnnouncedRecord:
		return a, fmt.Errorf("record of %d bytes", len(a.Record))
	}
	return a, nil
}

// check returns why no node may take the entry into the space of that address.
func (e Entry) check(address Address) error {
	if e.Feed == hypercore.Key(address.Key) {
		return errAddressFeed
	}
	if err := e.Feed.Check(); err != nil {
		return err
	}
	if address.Kind == KindSigned {
		if err := VerifyAdmission(address, e.Feed, e.Admission); err != nil {
			return err
		}
	}
	return e.verifyHead()
}

// Announced remembers what each author announced last, so that nothing is taken
// in twice. It is not safe for concurrent use.
type Announced struct {
	last map[announcer]announcedLast
}

type announcer struct {
	author string
	feed   hypercore.Key
}

type announcedLast struct {
	sequence uint64
	at       time.Time
}

// Take returns nil for an announcement that is newer than those of its author
// for its feed before, and of now; else ErrStale. It also returns that when
// MaxAnnouncers others announced within MaxAnnouncementAge.
func (l *Announced) Take(a Announcement, now time.Time) error {
	age := now.Sub(a.Time)
	if age > MaxAnnouncementAge || age < -MaxAnnouncementSkew {
		return ErrStale
	}
	who := announcer{string(a.Author), a.Entry.Feed}
	last, known := l.last[who]
	if known && a.Sequence <= last.sequence {
		return ErrStale
	}
	if !known && len(l.last) >= MaxAnnouncers {
		for other, last := range l.last {
			if now.Sub(last.at) > MaxAnnouncementAge+MaxAnnouncementSkew {
				delete(l.last, other)
			}
		}
		if len(l.last) >= MaxAnnouncers {
			return ErrStale
		}
	}
	if l.last == nil {
		l.last = map[announcer]announcedLast{}
	}
	l.last[who] = announcedLast{a.Sequence, now}
	return nil
}

// Entry returns the feed as this node tells others of it: its head is durable
// here. For a feed that is written here it has none before the set was compared
// with a peer's: this copy may be an old one.
func (f *Feed) Entry() Entry {
	f.space.mu.Lock()
	compared := f.space.compared
	f.space.mu.Unlock()
	if f.Writable() && !compared {
		return Entry{Feed: f.Key(), Admission: f.admission}
	}
	return f.entry()
}

// TakeAnnounced takes the feed of an announcement that OpenAnnouncement returned
// into the space, when policy and limits allow it, and notes its length. It
// fetches nothing: that is up to sessions. An error is nobody's fault.
func (s *Space) TakeAnnounced(a Announcement) (*Feed, error) {
	if !s.hears(time.Now()) {
		return nil, ErrAnnouncements
	}
	f, err := s.byDiscovery(a.Entry.Feed.Discovery())
	if err != nil {
		return nil, err
	}
	if f != nil && s.isBlocked(a.Entry.Feed) {
		return nil, ErrBlocked
	}
	if f == nil {
		offer := Offer{Space: s.address, Feed: a.Entry.Feed, Length: a.Entry.Length, Remote: a.Author}
		if err := s.allow(offer, 0); err != nil {
			return nil, err
		}
		if f, err = s.add(a.Entry.Feed, a.Entry.Admission, true); err != nil {
			return nil, err
		}
	}
	f.noteKnown(a.Entry.Length)
	s.noteChange()
	return f, nil
}
