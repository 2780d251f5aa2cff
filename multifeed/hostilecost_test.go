package multifeed

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// mostMemory is what one hostile peer may cost in bytes before it is cut, or for as
// long as it is borne.
const mostMemory = 8 << 20

// hostile is a peer with all features that sends bytes which no decent peer would.
type hostile struct {
	*raw
	victim *Space
	sent   int
	buf    []byte // frames that weren't written yet
}

// newHostile opens a session of a peer that reads nothing until drain.
func newHostile(t testing.TB, id string, nv *node, v *Space) *hostile {
	t.Helper()
	self := nv.party()
	self.Features = Features()
	p := &hostile{raw: newRawWith(t, id, Features(), v, self), victim: v}
	p.names = func() []string { return []string{aboutName, feedsName, "ping " + id} }
	return p
}

// frame sends one frame, whatever is in it, with others that come soon. It returns
// false when the session has ended.
func (p *hostile) frame(channel uint64, typ byte, body []byte) bool {
	header := protowire.AppendVarint(nil, channel<<4|uint64(typ))
	p.buf = protowire.AppendVarint(p.buf, uint64(len(header)+len(body)))
	p.buf = append(append(p.buf, header...), body...)
	return len(p.buf) < 16<<10 || p.flush()
}

// flush sends the frames that wait.
func (p *hostile) flush() bool {
	n, err := p.conn.Write(p.buf)
	p.sent += n
	p.buf = p.buf[:0]
	return err == nil
}

// set sends a message of the feed set.
func (p *hostile) set(payload []byte) bool {
	return p.frame(0, wire.TypeExtension, append([]byte{rawList}, payload...))
}

// begin says what a decent peer says first.
func (p *hostile) begin() bool {
	b, err := wire.AppendFrame(nil, 0, &hypercore.Options{Extensions: p.names()})
	if err != nil {
		p.t.Fatal(err)
	}
	p.buf = append(p.buf, b...)
	return p.flush()
}

// shareFeed opens a feed of the victim's set on a channel, and waits until it is
// open on both sides.
func (p *hostile) shareFeed(channel uint64, key hypercore.Key) {
	p.t.Helper()
	p.mustSend(channel, &wire.Open{DiscoveryKey: key.Discovery()})
	p.await(opened(key.Discovery()))
}

// forget drops what was heard so far, which is the test's own.
func (p *hostile) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = nil
}

// attackOn is one way to cost a victim more than it gets.
type attackOn struct {
	name   string
	feeds  int // of the victim, of one block each
	signed bool
	blocks int  // of 16 KiB, of the victim's own feed
	deaf   bool // it doesn't read once it is prepared
	// prepare comes before what is measured; nil for nothing.
	prepare func(p *hostile)
	rounds  int
	// round sends one part of the attack, and returns false when the session ended.
	round func(p *hostile, i int) bool
	most  int64 // bytes that may be kept for it; 0: mostMemory
	code  Code  // what the session ends with; CodeNone: it is borne
	bytes int   // most that is taken of it before it is cut; 0: any number
}

// victimOf returns what is attacked.
func (a *attackOn) victimOf(t testing.TB) (*node, *Space, Secret) {
	nv := newNode(t, "victim")
	secret := NewSecret()
	switch {
	case a.signed:
		return nv, nv.open(secret.Address()), secret
	case a.blocks > 0:
		v := nv.open(NewOpenAddress(), WithEncryptionKey(NewEncryptionKey()))
		writeBlocks(t, v, a.blocks, 16<<10)
		return nv, v, secret
	case a.feeds > 0:
		return nv, holding(t, nv, NewOpenAddress(), equalBut(0, a.feeds, 1), a.feeds), secret
	}
	return nv, nv.open(NewOpenAddress()), secret
}

// start opens the attacker's session.
func (a *attackOn) start(t testing.TB, id string, nv *node, v *Space) *hostile {
	t.Helper()
	p := newHostile(t, id, nv, v)
	if !a.deaf {
		p.drain()
	}
	p.begin()
	if !a.deaf {
		p.wantAlive()
	}
	if a.prepare != nil {
		a.prepare(p)
	}
	return p
}

// run sends all of it; look is called after each third.
func (a *attackOn) run(p *hostile, look func()) {
	for i := range a.rounds {
		if !a.round(p, i) {
			return
		}
		if look != nil && (i+1)%max(a.rounds/3, 1) == 0 {
			if !p.flush() {
				return
			}
			look()
		}
	}
	p.flush()
}

// costs checks that the attack is cut as it says, and what it takes until then.
func (a *attackOn) costs(t *testing.T) {
	nv, v, _ := a.victimOf(t)
	p := a.start(t, "attacker", nv, v)
	heap() // what others left is gone after two collections
	before, most := heap(), int64(0)
	cpu := cpuTime()
	a.run(p, func() {
		if p.settled() == nil {
			looked := cpuTime()
			p.forget()
			heap()
			most = max(most, heap()-before)
			cpu += cpuTime() - looked
		}
	})
	cpu = cpuTime() - cpu
	switch {
	case a.code != CodeNone:
		p.wantCode(a.code)
	default:
		p.wantAlive()
	}
	p.forget()
	most = max(most, heap()-before)
	t.Logf("%d bytes sent, %d KiB kept, %d pages of them, %v of CPU on both sides",
		p.sent, most>>10, maxPages-p.session.table.pages.Free(), cpu)
	if limit := max(a.most, mostMemory); most > limit {
		t.Errorf("%d KiB are kept for the attacker, want %d at the most", most>>10, limit>>10)
	}
	if free := p.session.table.pages.Free(); free < 0 || free > maxPages {
		t.Errorf("%d of %d pages are left", free, maxPages)
	}
	if a.bytes > 0 && p.sent > a.bytes {
		t.Errorf("it was cut after %d bytes, want %d", p.sent, a.bytes)
	}
}

// spares checks that an honest peer of the same space gets and gives all that it has
// while the attack is going on.
func (a *attackOn) spares(t *testing.T) {
	nv, v, secret := a.victimOf(t)
	nh := newNode(t, "honest")
	opts := []Option{WithEncryptionKey(NewEncryptionKey()), WithMaxFeeds(2*MaxFeeds + 16)}
	if a.signed {
		opts = []Option{WithSecret(secret)}
	}
	h := nh.open(v.Address(), opts...)
	const blocks = 200
	w := writeBlocks(t, h, blocks, 1<<10)
	p := a.start(t, "attacker", nv, v)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.run(p, nil)
	}()
	defer func() { p.conn.Close(); <-done }()
	connectWith(t, nh, h, nv, v, setup{features: Features()})
	f := awaitMember(t, v, w.Key())
	if err := f.Download(hypercore.Span{Count: blocks}, hypercore.DownloadOptions{}).Wait(within(t)); err != nil {
		t.Fatalf("of the honest peer's blocks %d came: %v", f.Durable(), err)
	}
	if seq, err := w.Append(within(t), []byte("after")); err != nil {
		t.Fatal(err)
	} else if _, err := f.Block(within(t), seq); err != nil {
		t.Errorf("what was written during the attack: %v", err)
	}
}

// awaitMember is awaitFeed that opens no other feed.
func awaitMember(t testing.TB, s *Space, key hypercore.Key) *Feed {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		changed := s.Changed()
		if f, err := s.Feed(key); err == nil {
			return f
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("feed %s did not arrive", key)
		}
	}
}

func testAttacks(t *testing.T, attacks []attackOn) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			if raceDetector && !soak { // it looks for races, and costs are others with it
				if a.feeds > 200 {
					t.Skip("hundreds of signatures")
				}
				a.rounds = (a.rounds + 19) / 20
				a.spares(t)
				return
			}
			a.costs(t)
			a.spares(t)
		})
	}
}

// BenchmarkHostile reports the CPU time of each attack, of both sides.
func BenchmarkHostile(b *testing.B) {
	for _, attacks := range [][]attackOn{entryAttacks(), rangeAttacks(), unreadAttacks(), setAttacks()} {
		for _, a := range attacks {
			b.Run(a.name, func(b *testing.B) {
				total, sent := 0.0, 0
				for range b.N {
					b.StopTimer()
					nv, v, _ := a.victimOf(b)
					p := a.start(b, fmt.Sprint("attacker", b.N), nv, v)
					cpu := cpuTime()
					b.StartTimer()
					a.run(p, nil)
					p.settled()
					total += (cpuTime() - cpu).Seconds()
					sent += p.sent
					p.conn.Close()
				}
				b.ReportMetric(1e3*total/float64(b.N), "cpu-ms/op")
				b.ReportMetric(float64(sent)/float64(b.N), "sent-B/op")
			})
		}
	}
}
