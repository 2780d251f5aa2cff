package multifeed

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// offered is an entry of a feed that is not in the set.
type offered struct {
	entry Entry
	err   error // why it can't be taken
}

// handleEntries takes the entries of one message. Those of new feeds are checked on
// all cores and stored together.
func (l *Feeds) handleEntries(bodies [][]byte) error {
	if len(bodies) == 0 {
		return nil
	}
	var fresh []offered
	seen := map[hypercore.Key]struct{}{}
	for _, b := range bodies {
		e, err := decodeEntry(b)
		if err != nil {
			return err
		}
		if _, twice := seen[e.Feed]; !twice && !l.x.space.has(e.Feed.Discovery()) {
			seen[e.Feed] = struct{}{}
			fresh = append(fresh, offered{entry: e})
			continue
		}
		if err := l.takeOffered(fresh); err != nil { // in the order in which they came
			return err
		}
		fresh = fresh[:0]
		if err := l.handleKnown(e); err != nil {
			return err
		}
	}
	return l.takeOffered(fresh)
}

// handleKnown takes the entry of a feed that is in the set.
func (l *Feeds) handleKnown(e Entry) error {
	if place, ok := l.x.space.alike(e); ok {
		l.note(place, e.Length, e.lacks, false)
		return nil
	}
	f, err := l.x.takeEntry(e)
	if err != nil || f == nil {
		return err
	}
	l.note(f.place, e.Length, e.lacks, f.Own() || f.Retired())
	return nil
}

// alike returns the place of a member of which an entry tells no other head than the
// one that is stored here, or none. Then the feed needs not be opened: that costs far
// more than the few bytes of an entry. It is false for feeds that are open already,
// blocked, or were written here.
func (s *Space) alike(e Entry) (place uint32, ok bool) {
	s.mu.Lock()
	place, ok = s.set.find(e.Feed.Discovery())
	ok = ok && s.set.live[place].Value() == nil
	s.mu.Unlock()
	if !ok || s.isBlocked(e.Feed) {
		return 0, false
	}
	if r, err := s.readRecord(e.Feed); err != nil || r.name != "" || r.seed != nil {
		return 0, false
	}
	if e.Length == 0 {
		return place, true
	}
	st, err := s.standingOf(e.Feed)
	return place, err == nil && st.Head.Length == e.Length && st.Head.RootHash == e.RootHash
}

// note takes in what the remote told of a member.
func (l *Feeds) note(place uint32, length, lacks uint64, own bool) {
	h := &l.x.space.holdings
	h.mu.Lock()
	l.mu.Lock()
	ours := h.lengthLocked(place)
	if l.remote.told(place, length, lacks, ours) && l.done {
		l.tell.add(place)
	}
	if own && length > 0 { // ours may turn out to be another history, and shrink
		l.remote.ahead[place] = ahead{length, lacks}
	}
	if length > ours || h.partial.Get(uint64(place)) && lacks < length {
		l.wishes.add(place)
	}
	if own {
		l.retell = true
	}
	l.mu.Unlock()
	h.mu.Unlock()
	l.x.out.wake()
}

// keepHead remembers a head whose signature was verified until its feed is opened.
func (l *Feeds) keepHead(place uint32, head hypercore.SignedHead) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if head.Length > 0 && len(l.heads) < maxHeads {
		l.heads[place] = head
	}
}

// handleStandings takes what the remote told of feeds that it knows to be in our
// set.
func (l *Feeds) handleStandings(b []byte) error {
	return eachStanding(b, func(st standing) error {
		places := l.x.space.placesNamed(st.name)
		if len(places) == 1 { // else it is anybody's guess
			l.note(places[0], st.length, st.lacks, false)
		}
		return nil
	})
}

// takeOffered takes new feeds into the set.
func (l *Feeds) takeOffered(fresh []offered) error {
	if len(fresh) == 0 {
		return nil
	}
	s := l.x.space
	room := min(s.room(), l.x.offerRoom())
	refused := fresh[min(room, len(fresh)):]
	fresh = fresh[:len(fresh)-len(refused)]
	onAllCores(len(fresh), func(i int) { fresh[i].err = fresh[i].entry.checkIn(s) })
	var taken []Entry
	for i := range fresh {
		e := fresh[i].entry
		if err := fresh[i].err; err != nil {
			return errors.Join(l.admit(taken), &ProtocolError{Code: CodeProof, Reason: "feed set", Err: err})
		}
		offer := Offer{Space: s.address, Feed: e.Feed, Length: e.Length, Remote: l.x.opened.Remote.PeerID}
		if err := s.allow(offer, len(taken)); err != nil {
			l.x.skip(e, err)
			continue
		}
		taken = append(taken, e)
	}
	if err := l.admit(taken); err != nil {
		return err
	}
	for i := range refused {
		if !l.x.skipFull(refused[i].entry) {
			break
		}
	}
	return nil
}

// skipFull skips an entry for which the set has no room. It is false when as many
// are remembered already as may be: then nothing is said of it and the others.
func (x *Session) skipFull(e Entry) bool {
	q := &x.refusals
	q.mu.Lock()
	full := len(q.skipped) >= MaxRefusals
	q.mu.Unlock()
	if !full {
		x.skip(e, fmt.Errorf("%w: %w: %d", errRefused, ErrTooMany, x.space.Len()))
	}
	return !full
}

// checkIn is check for the space's own address, whose key was checked when it was
// opened.
func (e Entry) checkIn(s *Space) error {
	if err := s.checkFeed(e.Feed); err != nil {
		return err
	}
	if s.address.Kind == KindSigned {
		if err := verifyAdmission(s.address, e.Feed, e.Admission); err != nil {
			return err
		}
	}
	if e.Length == 0 {
		return nil
	}
	return e.Feed.VerifyChecked(hypercore.Signable(e.RootHash, e.Length), e.Signature)
}

// admit takes feeds into the set that were checked.
func (l *Feeds) admit(entries []Entry) error {
	records := make([]feedRecord, len(entries))
	for i, e := range entries {
		records[i] = feedRecord{key: e.Feed, admission: e.Admission, offered: true}
	}
	places, added, err := l.x.space.addMembers(records)
	for i, place := range places {
		e := entries[i]
		if _, isNew := slices.BinarySearch(added, place); !isNew {
			// Somebody added it since we looked. Perhaps it is one of ours by now.
			if err := l.handleKnown(e); err != nil {
				return err
			}
			continue
		}
		l.x.space.noteKnownAt(place, e.Length)
		l.keepHead(place, hypercore.SignedHead{Length: e.Length, RootHash: e.RootHash, Signature: e.Signature})
		l.note(place, e.Length, e.lacks, false)
	}
	if errors.Is(err, ErrTooMany) { // filled by somebody else meanwhile
		e := entries[len(places)]
		l.x.skip(e, fmt.Errorf("%w: %w", errRefused, err))
		return nil
	}
	return err
}
