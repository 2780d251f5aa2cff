package hypercore_test

import (
	"container/heap"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// happening is something of a simulation.
type happening struct {
	at    time.Time
	order int
	do    func()
}

// timeline runs what is to happen in virtual time, one after the other.
type timeline struct {
	now   time.Time
	order int
	queue []happening
}

func (l *timeline) Len() int { return len(l.queue) }
func (l *timeline) Less(i, j int) bool {
	a, b := l.queue[i], l.queue[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.order < b.order
}
func (l *timeline) Swap(i, j int) { l.queue[i], l.queue[j] = l.queue[j], l.queue[i] }
func (l *timeline) Push(x any)    { l.queue = append(l.queue, x.(happening)) }
func (l *timeline) Pop() any {
	last := l.queue[len(l.queue)-1]
	l.queue = l.queue[:len(l.queue)-1]
	return last
}

func (l *timeline) after(d time.Duration, do func()) {
	l.order++
	heap.Push(l, happening{l.now.Add(d), l.order, do})
}

// run goes on until done says so, or most has passed.
func (l *timeline) run(most time.Duration, done func() bool) {
	end := l.now.Add(most)
	for !done() && len(l.queue) > 0 {
		h := heap.Pop(l).(happening)
		if h.at.After(end) {
			return
		}
		l.now = h.at
		h.do()
	}
}

// pacedLine is a link on which one side's blocks take their time: bytes a second
// and the way there.
type pacedLine struct {
	t        *testing.T
	time     *timeline
	up, down *hypercore.Peer
	rate     float64
	delay    time.Duration
	dead     bool
	busy     bool // a message is being sent upstairs
	sent     map[uint64]int
	pulling  bool
	due      time.Time
}

func (l *pacedLine) handle(p *hypercore.Peer, m hypercore.Message) {
	if err := p.Handle(m, l.time.now); err != nil {
		l.t.Fatalf("after %v: %s: %v", l.time.now.Sub(epoch), describe(m), err)
	}
}

// pull lets both sides say what they have to say now.
func (l *pacedLine) pull() {
	l.pulling = false
	for {
		m, err := l.down.Next(l.time.now)
		if err != nil {
			l.t.Fatal(err)
		}
		if m == nil {
			break
		}
		l.time.after(l.delay, func() { l.handle(l.up, m); l.wake() })
	}
	if at, ok := l.down.Due(); ok && (l.due.Before(l.time.now) || at.Before(l.due)) {
		l.due = at
		l.time.after(max(at.Sub(l.time.now), 0), l.wake)
	}
	if l.busy || l.dead {
		return
	}
	m, err := l.up.Next(l.time.now)
	if err != nil {
		l.t.Fatal(err)
	}
	if m == nil {
		return
	}
	size := 50
	if d, ok := m.(*hypercore.RangeData); ok {
		for i, b := range d.Blocks {
			size += len(b)
			l.sent[d.Start+uint64(i)]++
		}
	}
	l.busy = true
	l.time.after(time.Duration(float64(size)/l.rate*float64(time.Second)), func() {
		l.busy = false
		if !l.dead {
			l.time.after(l.delay, func() { l.handle(l.down, m); l.wake() })
		}
		l.wake()
	})
}

// wake lets the line pull soon.
func (l *pacedLine) wake() {
	if !l.pulling {
		l.pulling = true
		l.time.after(0, l.pull)
	}
}

// alike returns a feed of blocks of one size.
func alike(t *testing.T, blocks, size int) *hypercore.Feed {
	t.Helper()
	writer, _ := written(t, 0)
	batch := make([][]byte, blocks)
	for i := range batch {
		batch[i] = make([]byte, size)
	}
	mustAppend(t, writer, batch...)
	return writer
}

// pacedLines attaches a fresh reader to copies of a feed, over lines with these
// rates in bytes a second.
func pacedLines(t *testing.T, writer *hypercore.Feed, delay time.Duration, rates ...float64) (*hypercore.Feed, *timeline, []*pacedLine) {
	t.Helper()
	reader, _ := reading(t)
	l := &timeline{now: epoch}
	var lines []*pacedLine
	sent := map[uint64]int{}
	for _, rate := range rates {
		line := &pacedLine{t: t, time: l, rate: rate, delay: delay, sent: sent}
		attach := func(f *hypercore.Feed) *hypercore.Peer {
			p, err := f.Attach(hypercore.PeerOptions{Ranges: true, Wake: line.wake})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		line.up, line.down = attach(writer), attach(reader)
		lines = append(lines, line)
		line.wake()
	}
	return reader, l, lines
}

// checkLines runs until the reader has all, and fails if that took longer than
// allowed or more blocks were sent than that.
func checkLines(t *testing.T, what string, reader *hypercore.Feed, l *timeline, blocks, most int, allowed time.Duration, sent map[uint64]int) {
	t.Helper()
	l.run(10*allowed, func() bool { held, _ := reader.Held(); return held == uint64(blocks) })
	total := 0
	for _, n := range sent {
		total += n
	}
	held, _ := reader.Held()
	if took := l.now.Sub(epoch); held != uint64(blocks) || took > allowed || total > most {
		t.Errorf("%s: %d of %d blocks after %v, want all after %v; %d were sent, want %d at most", what, held, blocks, took, allowed, total, most)
	}
}

const mib = 1 << 20

func TestRangesFromSeveralRemotes(t *testing.T) {
	const blocks, size = 2048, 16 << 10 // 32 MiB
	writer := alike(t, blocks, size)
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for name, c := range map[string]struct {
		delay   time.Duration
		rates   []float64
		allowed time.Duration
		most    int
	}{
		"one":              {5 * time.Millisecond, []float64{10 * mib}, seconds(3.2 / 0.9), blocks},
		"four alike":       {5 * time.Millisecond, []float64{2 * mib, 2 * mib, 2 * mib, 2 * mib}, seconds(4 / 0.9), blocks + blocks/50},
		"far away":         {300 * time.Millisecond, []float64{4 * mib}, seconds(8/0.9 + 3), blocks},
		"50 Mbit, 100 ms":  {50 * time.Millisecond, []float64{50e6 / 8}, seconds(32 * mib / (50e6 / 8) / 0.9), blocks},
		"one slow":         {5 * time.Millisecond, []float64{4 * mib, 50 << 10}, seconds(8 / 0.9), blocks + blocks/50},
		"slow alone":       {5 * time.Millisecond, []float64{200 << 10}, seconds(160 / 0.9), blocks},
		"all of one sort ": {5 * time.Millisecond, []float64{100 << 10, 100 << 10, 100 << 10}, seconds(107 / 0.9), blocks + blocks/50},
	} {
		reader, l, lines := pacedLines(t, writer, c.delay, c.rates...)
		checkLines(t, name, reader, l, blocks, c.most, c.allowed, lines[0].sent)
	}
}

// A remote that dies costs a second, not what it was asked for.
func TestRangesOfADeadRemoteMove(t *testing.T) {
	const blocks, size = 1024, 16 << 10 // 16 MiB
	reader, l, lines := pacedLines(t, alike(t, blocks, size), 5*time.Millisecond, 2*mib, 2*mib, 2*mib)
	l.after(time.Second, func() { lines[1].dead = true })
	// 16 MiB at 6 for a second and at 4 then.
	checkLines(t, "one dies", reader, l, blocks, blocks+blocks/10, 3500*time.Millisecond+1200*time.Millisecond, lines[0].sent)
}

// Small blocks fill a line as large ones do.
func TestSmallBlocksFillALine(t *testing.T) {
	const blocks = 60_000
	reader, l, lines := pacedLines(t, alike(t, blocks, 100), 50*time.Millisecond, 2*mib)
	checkLines(t, "100 B", reader, l, blocks, blocks, 3600*time.Millisecond, lines[0].sent)
}
