package multifeed

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// page is one page of the list while it is made.
type page struct {
	l       *List
	now     time.Time
	b       []byte
	entries int
	both    []*Feed // told, or left out, of which the remote has told as well
}

// Next implements Exchange.
func (l *List) Next(now time.Time) (string, []byte, error) {
	p := page{l: l, now: now}
	told := p.addHeld() && p.addNext()
	p.addForks()
	done := told && p.end()
	for _, f := range p.both {
		if err := l.x.table.open(f); err != nil {
			return "", nil, err
		}
	}
	if done {
		l.x.noteExchanged()
	}
	if len(p.b) == 0 {
		return "", nil, nil
	}
	return listName, p.b, nil
}

// addHeld adds the feeds that were held back and needn't be any more. It is false
// when there is no room for one of them.
func (p *page) addHeld() bool {
	held := p.l.held
	p.l.held = nil
	room := true
	for _, f := range held {
		if !room || !p.l.x.mayShow(f) {
			p.l.held = append(p.l.held, f)
		} else if room = p.add(f); !room {
			p.l.held = append(p.l.held, f)
		}
	}
	return room
}

// addNext adds the feeds that come next in the space's set. It is false when there
// are others.
func (p *page) addNext() bool {
	l := p.l
	feeds, next, more := l.x.space.feedsFrom(l.next, MaxPageEntries)
	for _, f := range feeds {
		if !l.x.mayShow(f) {
			l.held = append(l.held, f)
		} else if !p.add(f) {
			return false
		}
		l.next = f.place + 1
	}
	if l.next = next; more {
		l.x.out.wake()
	}
	return !more
}

// add adds one feed. It is false when nothing more may be told now.
func (p *page) add(f *Feed) bool {
	l := p.l
	l.mu.Lock()
	_, told := l.told[f.Discovery()]
	l.mu.Unlock()
	// What came from there, perhaps long before it was taken in here, isn't told
	// back.
	if !told || f.DurableHead().Length > 0 {
		if !p.addEntry(f) {
			return false
		}
		if f.Evidence() != nil {
			l.mu.Lock()
			l.forks = append(l.forks, f)
			l.mu.Unlock()
		}
	}
	if told {
		p.both = append(p.both, f)
	}
	return true
}

// addEntry adds the feed's entry. It is false when the page is full, or as many
// entries were sent as may be in a minute; then the session is woken when there may
// be more.
func (p *page) addEntry(f *Feed) bool {
	l := p.l
	if p.entries >= MaxPageEntries {
		l.x.out.wake()
		return false
	}
	if p.now.Before(l.resume) {
		return false
	}
	if !l.pace.take(1, p.now) {
		l.resume = l.pace.since.Add(l.pace.per)
		time.AfterFunc(l.resume.Sub(p.now), l.x.out.wake)
		return false
	}
	p.b = protowire.AppendTag(p.b, pageEntry, protowire.BytesType)
	p.b = protowire.AppendBytes(p.b, appendEntry(nil, f.entry()))
	p.entries++
	return true
}

// addForks adds what proves that feeds have forked, each with the feed's entry once
// more: its writer sees from that what of his blocks is here.
func (p *page) addForks() {
	l := p.l
	l.mu.Lock()
	forks := l.forks
	l.forks = nil
	l.mu.Unlock()
	n := 0
	for len(forks) > 0 && n < MaxPageForks && p.addEntry(forks[0]) {
		p.b = appendFork(p.b, forks[0])
		forks = forks[1:]
		n++
	}
	if len(forks) == 0 {
		return
	}
	l.mu.Lock()
	l.forks = append(forks, l.forks...)
	l.mu.Unlock()
	if n == MaxPageForks {
		l.x.out.wake()
	}
}

// end adds what ends the list of all that was there at the start: once when all but
// the feeds that are held was told, and once more when these were. It says whether
// the sets are exchanged with it.
func (p *page) end() (done bool) {
	l := p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	all := len(l.held) == 0
	if l.sentAll || l.sentLast && !all {
		return false
	}
	p.b = protowire.AppendVarint(protowire.AppendTag(p.b, pageLast, protowire.VarintType), 1)
	if !all {
		p.b = protowire.AppendVarint(protowire.AppendTag(p.b, pageRest, protowire.VarintType), 1)
	}
	l.sentLast, l.sentAll = true, all
	return all && l.gotAll
}
