package multifeed

import (
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// openSpace is an open space with n feeds that nobody has blocks of.
func openSpace(t *testing.T, n int, opts ...Option) (*node, *Space, []hypercore.Key) {
	t.Helper()
	nv := newNode(t, "victim")
	v := nv.open(NewOpenAddress(), append([]Option{WithEncryptionKey(EncryptionKey{5})}, opts...)...)
	keys := keysOf(n)
	for _, k := range keys {
		if _, err := v.Add(k, Admission{}); err != nil {
			t.Fatal(err)
		}
	}
	return nv, v, keys
}

func opened(dk hypercore.DiscoveryKey) func(wire.Message) bool {
	return func(m wire.Message) bool { o, ok := m.(*wire.Open); return ok && o.DiscoveryKey == dk }
}

func isClose(m wire.Message) bool { _, ok := m.(*wire.Close); return ok }

// size returns how many channels the session knows.
func (r *raw) size() (byKey, byRemote int, ids uint64) {
	c := r.session.table
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byKey), len(c.byRemote), c.ids.End()
}

func TestW15ChannelNumbersAreReusedAfterClose(t *testing.T) {
	nv, v, keys := openSpace(t, 3)
	r := rawPeer(t, "peer", nv, v)
	for round := range 5000 {
		dk := keys[round%len(keys)].Discovery()
		r.mustSend(uint64(1+round), &wire.Open{DiscoveryKey: dk})
		r.mustSend(uint64(1+round), &wire.Close{})
	}
	r.wantAlive()
	if byKey, byRemote, ids := r.size(); byKey != 0 || byRemote != 0 || ids != 1 {
		t.Errorf("after 5,000 channels: %d channels, %d by the remote's number, numbers up to %d", byKey, byRemote, ids)
	}
	// All three at once need three numbers, and the first ones.
	for i, k := range keys {
		r.mustSend(uint64(1+i), &wire.Open{DiscoveryKey: k.Discovery()})
	}
	r.wantAlive()
	if _, _, ids := r.size(); ids != 4 {
		t.Errorf("our numbers go up to %d, want 3", ids-1)
	}
}

func TestW15OpeningAndClosingForEverEndsTheSession(t *testing.T) {
	nv, v, keys := openSpace(t, 1)
	r := rawPeer(t, "attacker", nv, v)
	n := 0
	for ; n < 100_000; n++ {
		if r.send(7, &wire.Open{DiscoveryKey: keys[0].Discovery()}) != nil || r.send(7, &wire.Close{}) != nil {
			break
		}
	}
	r.wantCode(CodeLimit)
	if n != MaxOpens { // counted from 0: the next one is that too many
		t.Errorf("cut after %d channels, want %d", n, MaxOpens)
	}
	if byKey, _, ids := r.size(); byKey > 1 || ids > 2 {
		t.Errorf("%d channels are kept, with numbers up to %d", byKey, ids)
	}
}

func TestOpensThatBreakTheRules(t *testing.T) {
	for name, frames := range map[string]func(r *raw, keys []hypercore.Key){
		"channel 0": func(r *raw, keys []hypercore.Key) {
			r.send(0, &wire.Open{DiscoveryKey: keys[0].Discovery()})
		},
		"an open channel": func(r *raw, keys []hypercore.Key) {
			r.send(1, &wire.Open{DiscoveryKey: keys[0].Discovery()})
			r.send(1, &wire.Open{DiscoveryKey: keys[1].Discovery()})
		},
		"one feed on two channels": func(r *raw, keys []hypercore.Key) {
			r.send(1, &wire.Open{DiscoveryKey: keys[0].Discovery()})
			r.send(2, &wire.Open{DiscoveryKey: keys[0].Discovery()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			nv, v, keys := openSpace(t, 2)
			r := rawPeer(t, "peer", nv, v)
			frames(r, keys)
			r.wantCode(CodeProtocol)
		})
	}
}

// An Open for a feed that is not in the set waits, and is answered when the
// feed comes.
func TestWaitingOpenIsAnsweredWhenTheFeedComes(t *testing.T) {
	nv, v, _ := openSpace(t, 0)
	r := rawPeer(t, "peer", nv, v)
	key := keysOf(1)[0]
	r.mustSend(3, &wire.Open{DiscoveryKey: key.Discovery()})
	r.wantAlive()
	if n := r.count(opened(key.Discovery())); n != 0 {
		t.Fatalf("an Open of a feed that is not there was answered")
	}
	if _, err := v.Add(key, Admission{}); err != nil {
		t.Fatal(err)
	}
	r.await(opened(key.Discovery()))
	if r.session.PeerOf(v.Feeds()[0]) == nil {
		t.Error("the feed is not replicated")
	}
}

// However the two meet, a feed that comes as the remote opens it is opened.
func TestOpenMeetsTheFeedThatComes(t *testing.T) {
	nv, v, _ := openSpace(t, 0)
	r := rawPeer(t, "peer", nv, v)
	for i, key := range keysOf(300) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := v.Add(key, Admission{}); err != nil {
				t.Error(err)
			}
		}()
		r.mustSend(uint64(1+i), &wire.Open{DiscoveryKey: key.Discovery()})
		<-done
		r.await(opened(key.Discovery()))
	}
}

func TestWaitingOpensAreLimited(t *testing.T) {
	nv, v, _ := openSpace(t, 0)
	r := rawPeer(t, "peer", nv, v)
	keys := keysOf(MaxWaitingOpens + 1)
	for i, k := range keys[:MaxWaitingOpens] {
		r.mustSend(uint64(1+i), &wire.Open{DiscoveryKey: k.Discovery()})
	}
	r.wantAlive()
	if n := r.count(isClose); n != 0 {
		t.Fatalf("%d of %d Opens were declined", n, MaxWaitingOpens)
	}
	last := keys[MaxWaitingOpens].Discovery()
	r.mustSend(MaxWaitingOpens+1, &wire.Open{DiscoveryKey: last})
	got := r.await(isClose).(*wire.Close)
	if got.DiscoveryKey == nil || *got.DiscoveryKey != last {
		t.Errorf("Close of %v, want of the Open that is one too many", got.DiscoveryKey)
	}
	if byKey, _, _ := r.size(); byKey != MaxWaitingOpens {
		t.Errorf("%d channels wait, want %d", byKey, MaxWaitingOpens)
	}
	// One less makes room.
	r.mustSend(1, &wire.Close{})
	r.mustSend(MaxWaitingOpens+2, &wire.Open{DiscoveryKey: last})
	r.wantAlive()
	if n := r.count(isClose); n != 1 {
		t.Errorf("%d Closes, want 1", n)
	}
}

// A session without blocks does not hold channels of shared feeds against a
// peer that wants to replicate them.
func TestWithoutBlocksBearsOpensOfSharedFeeds(t *testing.T) {
	nv, v, keys := openSpace(t, MaxWaitingOpens+50)
	r := newRaw(t, "peer", nv, v, nv.party(), WithoutBlocks())
	r.drain()
	r.mustSend(0, &hypercore.Options{Extensions: r.names()})
	for i, k := range keys {
		r.mustSend(uint64(1+i), &wire.Open{DiscoveryKey: k.Discovery()})
	}
	r.wantAlive()
	if n := r.count(func(m wire.Message) bool { return isClose(m) || opened(keys[0].Discovery())(m) }); n != 0 {
		t.Errorf("%d Opens were answered", n)
	}
}

func TestDeclinedOpenIsClosed(t *testing.T) {
	nv, v, keys := openSpace(t, 2)
	r := rawPeer(t, "peer", nv, v)
	r.page(true, Entry{Feed: keys[0]})
	r.await(opened(keys[0].Discovery()))
	dk := keys[0].Discovery()
	r.mustSend(40, &wire.Close{DiscoveryKey: &dk})
	r.await(isClose)
	if byKey, _, ids := r.size(); byKey != 0 || ids != 1 {
		t.Errorf("%d channels are left, with numbers up to %d", byKey, ids)
	}
	// Opened by the remote after all, it is opened here again.
	r.mustSend(1, &wire.Open{DiscoveryKey: dk})
	r.wantAlive()
	if f, err := v.Feed(keys[0]); err != nil || r.session.PeerOf(f) == nil {
		t.Error("the feed is not replicated")
	}
}

func TestDroppedFramesAreLimited(t *testing.T) {
	for name, f := range map[string]struct {
		channel uint64
		message wire.Message
	}{
		"message on a closed channel": {9, &hypercore.Have{Start: 1, Length: 1}},
		"close of a closed channel":   {9, &wire.Close{}},
		"feed message on channel 0":   {0, &hypercore.Want{Length: 8192}},
		"unknown extension":           {0, &hypercore.Extension{ID: 63, Payload: []byte("x")}},
	} {
		t.Run(name, func(t *testing.T) {
			nv, v, _ := openSpace(t, 0)
			r := rawPeer(t, "peer", nv, v)
			for range MaxDropped {
				r.mustSend(f.channel, f.message)
			}
			r.wantAlive()
			r.send(f.channel, f.message)
			r.wantCode(CodeLimit)
		})
	}
	t.Run("unknown type", func(t *testing.T) {
		nv, v, _ := openSpace(t, 0)
		r := rawPeer(t, "peer", nv, v)
		for range MaxDropped {
			r.conn.Write([]byte{1, 0x0b})
		}
		r.wantAlive()
		r.conn.Write([]byte{1, 0x0b})
		r.wantCode(CodeLimit)
	})
}

// A peer that makes us answer and does not read is cut before the answers pile
// up.
func TestAnswersThatWaitAreLimited(t *testing.T) {
	o := &outgoing{}
	o.init(&Space{maxFeeds: 1})
	for i := range maxControl {
		if err := o.control(1, &wire.Close{}); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	if err := o.control(1, &wire.Close{}); CodeOf(err) != CodeLimit {
		t.Errorf("answer %d: %v, want code %v", maxControl, err, CodeLimit)
	}
	large := &outgoing{}
	large.init(&Space{maxFeeds: MaxFeeds + 100})
	if want := maxControl + 400; large.limit != want {
		t.Errorf("limit with 100 feeds more = %d, want %d", large.limit, want)
	}
}

// late is an exchange in whose Next something happens, as the reader may do at
// any time.
type late struct{ happen func() }

func (l *late) Extensions() []string                   { return nil }
func (l *late) Handle(string, []byte, time.Time) error { return nil }
func (l *late) Added(*Feed)                            {}
func (*late) Forked(*Feed)                             {}
func (l *late) Next(time.Time) (string, []byte, error) {
	if happen := l.happen; happen != nil {
		l.happen = nil
		happen()
	}
	return "", nil, nil
}

// The Want of a channel that opens while the writer looks for a frame must not
// overtake its Open: the other side would drop it, and never tell what it holds.
func TestOpenGoesBeforeItsChannel(t *testing.T) {
	n := newNode(t, "alice")
	s := n.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
	f := fill(t, s, 1)
	h := newHandSide(t, s)
	defer h.x.leave(nil)
	now := time.Now()
	h.x.remoteTold = true
	h.x.exchange = &late{happen: func() {
		if err := h.x.table.remoteOpen(1, f.Discovery(), now); err != nil {
			t.Error(err)
		}
	}}
	var types []byte
	for more := true; more; {
		var err error
		if more, err = h.write(now); err != nil {
			t.Fatal(err)
		}
	}
	for _, frame := range h.out {
		if frame.Channel != 0 {
			types = append(types, frame.Type)
		}
	}
	if len(types) < 2 || types[0] != wire.TypeOpen || types[1] != wire.TypeWant {
		t.Errorf("frames of the channel: types %v, want Open before Want", types)
	}
}
