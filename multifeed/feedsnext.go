package multifeed

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/reconcile"
)

const (
	// fullMessage is from how many bytes on no further entry goes into a message,
	// so that it stays below MaxFeedsMessage.
	fullMessage = MaxFeedsMessage - 1<<10
	// sendAhead is how many entries are asked of the reconciliation at a time.
	sendAhead = 256
	// openAhead is how many channels are opened between two messages.
	openAhead = 32
)

// Next implements Exchange.
func (l *Feeds) Next(now time.Time) (string, []byte, error) {
	if err := l.start(); err != nil {
		return "", nil, err
	}
	b, err := l.opening()
	if b == nil && err == nil {
		b, err = l.page(now)
	}
	if err == nil {
		err = l.openWished()
	}
	if err != nil || len(b) == 0 {
		return "", nil, err
	}
	return feedsName, b, nil
}

// opening returns the first message: the fingerprint of our set, and of which feeds
// blocks are missing here.
func (l *Feeds) opening() ([]byte, error) {
	if l.started {
		return nil, nil
	}
	l.started = true
	b := l.addLacks(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	return addReconcile(b, l.rec), nil
}

// addLacks adds of which feeds blocks are missing here.
func (l *Feeds) addLacks(b []byte) []byte {
	names, count := l.x.space.namesOf(MaxLacksNamed)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unnamed = count > MaxLacksNamed
	return lacks{count: count, named: !l.unnamed, names: names}.append(b)
}

func addReconcile(b []byte, rec *reconcile.Session) []byte {
	if payload := rec.Next(); payload != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, feedsReconcile, protowire.BytesType), payload)
	}
	return b
}

// page returns the next message, or nil.
func (l *Feeds) page(now time.Time) ([]byte, error) {
	l.takeDiffering()
	l.releaseHeld()
	b, more, err := l.addEntries(nil, now)
	if err != nil {
		return nil, err
	}
	b = l.addStandings(b)
	b = l.addForks(b)
	done := false
	l.mu.Lock()
	if !more && len(b) < fullMessage && l.tell.len() == 0 {
		if l.rec.Met() && len(b)+reconcile.MaxPayload+8 <= MaxFeedsMessage { // else it follows this message
			b = addReconcile(b, l.rec)
		}
		if l.rec.Told() && !l.rec.Equal() && len(l.held) == 0 && !l.sentAll { // equal sets need no word
			l.sentAll = true
			b = protowire.AppendVarint(protowire.AppendTag(b, pageLast, protowire.VarintType), 1)
			done = l.gotAll
		}
	}
	l.mu.Unlock()
	l.settleSets()
	if done {
		l.x.noteExchanged()
	}
	if len(b) == 0 && l.namesNow() {
		b = l.addLacks(b)
	}
	if len(b) > 0 {
		l.x.out.wake()
	}
	return b, nil
}

// takeDiffering queues entries of which the reconciliation says that the remote
// lacks them.
func (l *Feeds) takeDiffering() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done || l.tell.len() >= sendAhead {
		return
	}
	for _, dk := range l.rec.Send(sendAhead) {
		if place, ok := l.x.space.placeOf(dk); ok {
			l.differ.Set(uint64(place))
			l.tell.add(place)
		}
	}
}

// releaseHeld queues again what was held back of own feeds, when something changed
// about what the remote may hear of.
func (l *Feeds) releaseHeld() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.retell {
		return
	}
	l.retell = false
	held := l.held
	l.held = nil
	for _, place := range held {
		l.tell.add(place)
	}
}

// addEntries adds the entries that wait, and says whether there are others.
func (l *Feeds) addEntries(b []byte, now time.Time) (page []byte, more bool, err error) {
	if now.Before(l.resume) {
		return b, l.telling(), nil
	}
	for len(b) < fullMessage {
		l.mu.Lock()
		place, ok := l.tell.pop()
		l.mu.Unlock()
		if !ok {
			return b, false, nil
		}
		e, send, err := l.entryOf(place)
		if err != nil {
			return nil, false, err
		}
		if !send {
			continue
		}
		b = protowire.AppendTag(b, pageEntry, protowire.BytesType)
		b = protowire.AppendBytes(b, appendEntry(nil, e))
		if !l.pace.take(1, now) {
			l.resume = l.pace.since.Add(l.pace.per)
			time.AfterFunc(l.resume.Sub(now), l.x.out.wake)
			break
		}
	}
	return b, l.telling(), nil
}

func (l *Feeds) telling() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tell.len() > 0
}

// entryOf returns the entry of a member, and whether it has to be told now: not
// while the feed's channel tells of it, nor when the remote has told of a head as
// long as ours. Then a standing does, if anything.
func (l *Feeds) entryOf(place uint32) (e Entry, send bool, err error) {
	s := l.x.space
	key := s.keyAt(place)
	if l.x.table.peerOf(key.Discovery()) != nil {
		return e, false, nil
	}
	e, lacks, f, err := s.entryAt(place, key)
	if err != nil {
		s.logUnopened(place, err)
		return e, false, nil
	}
	if f != nil && !l.x.mayShow(f) {
		l.mu.Lock()
		l.held = append(l.held, place)
		l.mu.Unlock()
		return e, false, nil
	}
	if f != nil {
		e = f.entry() // and now it is shown
	}
	e.lacks = lacks
	h := &s.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.remote.knows.Get(uint64(place)) || e.Length == 0 && l.remote.has.Get(uint64(place)) {
		if e.Length > 0 {
			l.stand.add(place)
		}
		return e, false, nil
	}
	if h.lengthLocked(place) == e.Length { // else it is told once more
		l.remote.knows.Set(uint64(place))
	}
	return e, true, nil
}

// entryAt returns what this node tells of a member, how many of its blocks are
// missing here, and of one that was written here its Feed. Others are not opened.
func (s *Space) entryAt(place uint32, key hypercore.Key) (e Entry, lacks uint64, f *Feed, err error) {
	r, err := s.readRecord(key)
	if err != nil {
		return e, 0, nil, err
	}
	if r.name != "" {
		if f, err = s.feedAt(place); err != nil {
			return e, 0, nil, err
		}
		st := f.Standing()
		return Entry{}, st.Head.Length - st.Blocks, f, nil
	}
	st, err := s.standingOf(key)
	h := st.Head
	return Entry{Feed: key, Length: h.Length, RootHash: h.RootHash, Signature: h.Signature, Admission: r.admission}, h.Length - st.Blocks, nil, err
}

// addStandings adds the standings that wait.
func (l *Feeds) addStandings(page []byte) []byte {
	var b []byte
	for len(page)+len(b) < fullMessage {
		l.mu.Lock()
		place, ok := l.stand.pop()
		known := ok && (l.remote.has.Get(uint64(place)) || l.remote.knows.Get(uint64(place)))
		l.mu.Unlock()
		if !ok {
			break
		}
		if !known {
			continue
		}
		s := l.x.space
		key := s.keyAt(place)
		dk := key.Discovery()
		if l.x.table.peerOf(dk) != nil || !l.x.mayStand(place) {
			continue
		}
		if st, err := s.standingOf(key); err == nil {
			b = standing{name: nameOf(dk), length: st.Head.Length, lacks: st.Head.Length - st.Blocks}.append(b)
		}
	}
	if len(b) == 0 {
		return page
	}
	return protowire.AppendBytes(protowire.AppendTag(page, feedsStanding, protowire.BytesType), b)
}

// addForks adds what proves that feeds have forked, each with the feed's entry once
// more: its writer sees from that what of his blocks is here.
func (l *Feeds) addForks(b []byte) []byte {
	for n := 0; n < MaxPageForks && len(b) < fullMessage-hypercore.MaxEvidence; n++ {
		l.mu.Lock()
		if len(l.forks) == 0 {
			l.mu.Unlock()
			return b
		}
		place := l.forks[0]
		l.forks = l.forks[1:]
		l.mu.Unlock()
		f, err := l.x.space.feedAt(place)
		if err != nil {
			l.x.space.logUnopened(place, err)
			continue
		}
		if !l.x.mayShow(f) {
			continue
		}
		b = protowire.AppendTag(b, pageEntry, protowire.BytesType)
		b = protowire.AppendBytes(b, appendEntry(nil, f.entry()))
		b = appendFork(b, f)
	}
	return b
}

// namesNow says whether the remote waits to be told of which feeds blocks are
// missing here, and they are few enough by now.
func (l *Feeds) namesNow() bool {
	l.mu.Lock()
	unnamed := l.unnamed
	l.mu.Unlock()
	if !unnamed {
		return false
	}
	h := &l.x.space.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.partial.Count() <= MaxLacksNamed
}
