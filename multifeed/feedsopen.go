package multifeed

// openWished opens the channels of feeds of which we lack blocks, as long as there
// is room.
func (l *Feeds) openWished() error {
	if l.x.noBlocks {
		return nil
	}
	for range openAhead {
		if l.wishing() && !l.x.table.roomy() {
			return nil
		}
		l.mu.Lock()
		place, ok := l.wishes.pop()
		has := ok && l.remote.has.Get(uint64(place))
		longest := l.remote.ahead[place].length
		l.mu.Unlock()
		if !ok {
			l.x.table.uncrowd()
			return nil
		}
		if !has {
			continue
		}
		if err := l.open(place, longest); err != nil {
			return err
		}
	}
	l.x.out.wake() // for the others
	return nil
}

// open opens the channel of a member if we lack blocks that somebody asks for, or
// the remote has a longer head.
func (l *Feeds) open(place uint32, longest uint64) error {
	f, err := l.x.space.feedAt(place)
	if err != nil {
		l.x.space.logUnopened(place, err)
		return nil
	}
	l.mu.Lock()
	head, ok := l.heads[place]
	delete(l.heads, place)
	forced := l.forced.Get(uint64(place))
	l.forced.ClearRange(uint64(place), 1)
	l.mu.Unlock()
	if ok && f.damaged == nil {
		f.NoteVerifiedHead(head)
	}
	longest = max(longest, f.KnownLength())
	if f.damaged != nil || l.x.space.isBlocked(f.Key()) || f.Length() >= longest && !f.Lacks() && !forced {
		return nil
	}
	return l.x.table.want(f)
}

func (l *Feeds) wishing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wishes.len() > 0
}

// parting is what is known of a channel that is closed, at our side's wish or the
// remote's.
type parting struct {
	feed   *Feed
	ours   bool   // we closed it: the remote heard all that we said on it
	length uint64 // of the remote, as far as it told
	whole  bool   // it holds all of these blocks, durably
}

// parted keeps what the remote said on a channel that is closed now, and lets it be
// told how we stand.
func (x *Session) parted(p parting) {
	l, ok := x.exchange.(*Feeds)
	if !ok {
		return
	}
	l.part(p)
	if p.feed.Own() {
		if err := p.feed.SaveShown(); err != nil {
			x.log.Error("not noted what was shown of own feeds", "err", err)
		}
	}
	x.space.noteChange()
}

func (l *Feeds) part(p parting) {
	place := p.feed.place
	held, _ := p.feed.Held()
	durable := p.feed.Durable()
	h := &l.x.space.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if ours := h.lengthLocked(place); p.whole && p.length >= ours {
		l.remote.told(place, p.length, 0, ours)
	}
	if !p.ours {
		return
	}
	l.remote.knows.Set(uint64(place))
	if held == durable { // else it is told when it is
		l.stand.add(place)
	}
	l.x.out.wake()
}

// reopen is called when both ends of a channel of ours are closed: it may be needed
// again, and there is room for another.
func (x *Session) reopen(c *channel) {
	l, ok := x.exchange.(*Feeds)
	if ok && c.again {
		l.wish(c.feed.place)
	}
	x.out.wake()
}

// share lets the writer open the channel of a feed that the remote has as well, if
// it is needed. It is false when the session's exchange opens all channels.
func (x *Session) share(f *Feed) bool {
	l, ok := x.exchange.(*Feeds)
	if ok {
		l.mu.Lock()
		l.remote.has.Set(uint64(f.place))
		l.mu.Unlock()
		l.wish(f.place)
	}
	return ok
}

// wishAll lets the writer see whether channels are needed of all feeds of which
// blocks are missing here.
func (x *Session) wishAll() {
	l, ok := x.exchange.(*Feeds)
	if !ok {
		return
	}
	partial := x.space.partialPlaces()
	l.mu.Lock()
	for _, place := range partial {
		l.wishes.add(place)
	}
	for place := range l.remote.ahead {
		l.wishes.add(place)
	}
	l.mu.Unlock()
	x.out.wake()
}

// wishFor lets sessions open the channel of a feed for whose blocks somebody waits.
func (s *Space) wishFor(f *Feed) {
	for _, x := range s.sessionsNow() {
		if l, ok := x.exchange.(*Feeds); ok {
			l.wish(f.place)
		}
	}
}

// mayStand says whether the remote may hear how we stand with a member: of an own
// feed only when it may hear of its head.
func (x *Session) mayStand(place uint32) bool {
	x.space.mu.Lock()
	f := x.space.set.live[place].Value()
	x.space.mu.Unlock()
	return f == nil || x.mayShow(f)
}

// agreeOwn notes of own feeds that are open here that the remote has what was seen
// to be the same.
func (s *Space) agreeOwn(l *Feeds) {
	s.mu.Lock()
	var own []*Feed
	for _, p := range s.set.live {
		if f := p.Value(); f != nil && f.Own() {
			own = append(own, f)
		}
	}
	s.mu.Unlock()
	for _, f := range own {
		l.mu.Lock()
		even := l.remote.even.Get(uint64(f.place))
		l.mu.Unlock()
		if even {
			f.Agree(f.DurableHead())
		}
	}
}
