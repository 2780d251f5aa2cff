package hypercore

import "time"

// request is one of our own that waits for its answer: a Request, or a
// RangeRequest.
type request struct {
	peer   *Peer
	seq    uint64
	hash   bool
	at     time.Time
	serial uint64 // rises with every request to the peer
	length uint64 // of our head when it was asked

	count    uint64 // blocks of a range from seq on; 0: a Request
	most     uint64 // blocks that its answer may have: those of an earlier one like it as well
	urgent   bool   // somebody waits for the range
	steps    int    // how often its blocks were taken over from one remote to the next
	arriving bool   // the answer came and is not stored yet; Invariant: it is in the peer's arriving
	window   reserve

	grows  bool // asked for the proof of a longer head
	failed bool // counted in failedGrowth

	// partial is how many answers are due to requests for seq that carried a
	// digest, this one or an earlier one: they may leave out what we don't have.
	partial  int
	full     bool // asked once more, without a digest
	owesHash bool // an answer to an earlier request for the hash may still come

	overdue bool // waits for its patience: a peer with nothing else to do may take it over
	moved   bool // others may be asked; a late answer is still welcome
	owed    bool // moved, and may still stand in the remote's queue
	// retry is, once moved, the time before which this peer isn't asked again,
	// so that others get their turn; zero when there is none.
	retry time.Time
}

// noteLocked notes a new request to this remote and returns the message.
func (p *Peer) noteLocked(seq uint64, hash bool, now time.Time) *Request {
	c := p.feed
	p.serial++
	r := &request{peer: p, seq: seq, hash: hash, at: now, serial: p.serial, length: c.head.Length}
	if old := p.asked[seq]; old != nil {
		r.partial, r.owesHash = old.partial, old.hash || old.owesHash
		if old.owed {
			p.excused++
		}
		p.dropLocked(old)
	}
	if !hash {
		c.takeFromLocked(seq)
	}
	p.asked[seq] = r
	p.flying++
	if !hash {
		c.asked[seq] = r
	}
	m := &Request{Index: seq, Hash: hash, Nodes: c.digestLocked(seq)}
	if m.Nodes != 0 {
		r.partial++
	}
	return m
}

// roomLocked says whether one more request may go out. What stands in the
// remote's queue counts, moved or not; but one request may always wait, since
// only an answer shows what became of the others.
func (p *Peer) roomLocked() bool {
	if p.byRange && (p.ranged >= MaxRanges || p.stalled && p.ranged > 0) {
		return false
	}
	return p.flying == 0 || !p.stalled && p.flying+p.owed < MaxRequests
}

// freeLocked lets others be asked for what r asks.
func (p *Peer) freeLocked(r *request) {
	c := p.feed
	if r.moved {
		return
	}
	r.moved = true
	if r.count > 0 {
		p.ranged--
		c.unassignLocked(r, r.span())
	} else {
		p.flying--
	}
	if c.asked[r.seq] == r {
		delete(c.asked, r.seq)
	}
	if c.growing == r {
		c.growing = nil
	}
}

// moveLocked frees r before it was answered, and tells the remote.
func (p *Peer) moveLocked(r *request) {
	p.freeLocked(r)
	r.owed = true
	p.owed++
	p.outbox = append(p.outbox, &Cancel{Index: r.seq, Hash: r.hash})
}

// dropLocked frees r and forgets it.
func (p *Peer) dropLocked(r *request) {
	p.freeLocked(r)
	p.settleLocked(r)
	r.window.give()
	if p.asked[r.seq] == r {
		delete(p.asked, r.seq)
	}
}

// settleLocked notes that r doesn't stand in the remote's queue any more.
func (p *Peer) settleLocked(r *request) {
	if r.owed {
		r.owed = false
		r.window.give()
		p.owed--
	}
}

// answeredLocked notes that the remote answered r. It answers in order, so what
// moved before r was asked is answered, too, or taken back.
func (p *Peer) answeredLocked(r *request, now time.Time) {
	p.progress, p.stalled = now, false
	if p.owed == 0 {
		return
	}
	for _, old := range p.asked {
		if old.serial <= r.serial {
			p.settleLocked(old)
		}
	}
}

// lateLocked returns when r is late: a line may be slow, so the wait begins again
// with every answer of the remote.
func (p *Peer) lateLocked(r *request) time.Time {
	since := r.at
	if p.progress.After(since) {
		since = p.progress
	}
	if p.receiving != nil {
		if at := p.receiving(); at.After(since) {
			since = at // an answer is on its way, and those behind it can't be
		}
	}
	return since.Add(RequestTimeout)
}

// expireLocked lets requests move on that were not answered in time.
func (p *Peer) expireLocked(now time.Time) {
	if now.Before(p.expiry) {
		return
	}
	p.expiry = now.Add(expireEvery)
	pausedLong := !p.paused.IsZero() && now.Sub(p.paused) >= maxPause
	moved := 0
	for _, r := range p.asked {
		switch late := !now.Before(p.lateLocked(r)); {
		case r.moved && !r.retry.IsZero() && !now.Before(r.retry):
			r.retry = time.Time{}
		case r.moved:
			if moved++; moved > maxMoved {
				p.dropLocked(r)
			}
		case late || pausedLong:
			p.moveLocked(r)
			p.stalled = true
			if late {
				r.retry = now.Add(RequestTimeout)
				r.failLocked()
				p.count(func(n *counters) { n.late.Add(1) })
			}
			p.feed.wakeLocked()
		case !r.overdue && !now.Before(r.patience()):
			r.overdue = true
			p.feed.wakeLocked()
		}
	}
}
