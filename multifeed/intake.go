package multifeed

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

const (
	// maxIntake is how many bytes of frames of one session may wait to be hashed
	// and stored, unless one alone has more. Each block counts for blockCost bytes
	// beside its own: what is hashed from it takes up so much.
	maxIntake = 4 << 20
	blockCost = 192
	// inlineBytes is up to how many bytes a frame that has the line for itself is
	// stored at once by who read it.
	inlineBytes = 16 << 10
)

// intake takes ranges of blocks from the line to the stores in stages, so that one
// is read while another is hashed and a third is stored. Its goroutines run only
// while they have work.
type intake struct {
	x   *Session
	ctx context.Context

	stages sync.WaitGroup

	mu       sync.Mutex // guards all below
	left     sync.Cond  // something left, or failed
	frames   int        // inside
	bytes    int        // that they count for
	toHash   []load
	hashing  bool // Invariant: true while toHash has something
	toApply  []load
	applying bool // Invariant: true while toApply has something
	err      error
}

// load is one frame on its way.
type load struct {
	arrival *hypercore.Arrival
	body    []byte
	cost    int // bytes that it counts for
}

func newIntake(ctx context.Context, x *Session) *intake {
	q := &intake{x: x, ctx: ctx}
	q.left.L = &q.mu
	return q
}

// take takes a RangeData frame of a feed's channel. It returns when there is room
// for it. An error of an earlier frame may be returned with it.
func (q *intake) take(f wire.Frame, now time.Time) error {
	p, err := q.x.table.replicating(f.Channel, now)
	if p == nil || err != nil {
		wire.Recycle(f.Body)
		return err
	}
	m, err := wire.Decode(f)
	if err != nil {
		return err
	}
	d := m.(*hypercore.RangeData)
	a, err := p.Take(d, now)
	if err != nil || a == nil {
		wire.Recycle(f.Body)
		return err
	}
	one := load{a, f.Body, len(f.Body) + blockCost*len(d.Blocks)}
	if len(f.Body) <= inlineBytes && q.x.opened.Reader.Buffered() == 0 && q.empty() {
		a.Hash()
		err := a.Apply(q.ctx)
		wire.Recycle(f.Body)
		return err
	}
	return q.enter(one)
}

// empty says whether nothing is on its way.
func (q *intake) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.frames == 0
}

// enter waits for room.
func (q *intake) enter(one load) error {
	q.mu.Lock()
	for q.err == nil && q.frames > 0 && q.bytes+one.cost > maxIntake {
		q.left.Wait()
	}
	if q.err != nil {
		defer q.mu.Unlock()
		one.arrival.Drop()
		return q.err
	}
	q.frames++
	q.bytes += one.cost
	q.toHash = append(q.toHash, one)
	start := !q.hashing
	q.hashing = true
	q.mu.Unlock()
	if start {
		q.stages.Go(q.hash)
	}
	return nil
}

// next takes the first of a stage's loads; when there is none, the stage ends.
func (q *intake) next(waiting *[]load, running *bool) (one load, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(*waiting) == 0 {
		*running = false
		return one, false
	}
	one = (*waiting)[0]
	*waiting = slices.Delete(*waiting, 0, 1)
	return one, true
}

// hash is the second stage.
func (q *intake) hash() {
	for {
		one, ok := q.next(&q.toHash, &q.hashing)
		if !ok {
			return
		}
		one.arrival.Hash()
		q.mu.Lock()
		q.toApply = append(q.toApply, one)
		start := !q.applying
		q.applying = true
		q.mu.Unlock()
		if start {
			q.stages.Go(q.apply)
		}
	}
}

// apply is the third stage. The first error ends the session.
func (q *intake) apply() {
	for {
		one, ok := q.next(&q.toApply, &q.applying)
		if !ok {
			return
		}
		var err error
		if q.failed() == nil {
			err = one.arrival.Apply(q.ctx)
		} else {
			one.arrival.Drop()
		}
		wire.Recycle(one.body)
		q.mu.Lock()
		q.frames--
		q.bytes -= one.cost
		if err != nil && q.err == nil {
			q.err = err
		}
		q.left.Broadcast()
		q.mu.Unlock()
		if err != nil {
			q.x.end(err)
		}
	}
}

func (q *intake) failed() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

// close returns when nothing is on its way any more, with the first error.
func (q *intake) close() error {
	q.stages.Wait()
	return q.failed()
}
