// Package discovery finds peers for a 32-byte key: in a Kad-DHT, on the local
// network, in a book of peers met before and among configured ones. It also
// carries opaque announcements over gossipsub. What it hands out are hints;
// whoever gets one must have the peer prove that it knows the space. See
// interop/spec/rendezvous.md.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// MaxTopics is how many keys may be joined at once.
const MaxTopics = 16384

// Errors of joining.
var (
	ErrClosed        = errors.New("discovery: rendezvous is closed")
	ErrJoined        = errors.New("discovery: key is joined already")
	ErrTooManyTopics = fmt.Errorf("discovery: more than %d keys", MaxTopics)
)

// Rendezvous announces and looks up keys on a host that it is given. It runs
// one goroutine that waits for what is due, one that reads the host's events,
// and a bounded number that talk to the network.
type Rendezvous struct {
	host      host.Host
	log       *slog.Logger
	routing   routing.ContentRouting // nil when off
	tableSize func() int             // nil when unknown
	sweep     sweep
	book      *Book // nil when off
	static    []peer.AddrInfo
	found     func(Candidate)
	lan       *lan // nil when off

	jobs   *schedule
	watch  *watch
	node   []*job // of the node as a whole
	stop   context.CancelFunc
	done   sync.WaitGroup
	closed sync.Once

	foundMu sync.Mutex // held while found is called
	ended   bool       // guarded by foundMu: found is called no more

	mu     sync.Mutex
	topics map[[32]byte]*Topic // nil when closed
	count  atomic.Int64        // of topics, for who must not take mu
}

// New starts a rendezvous on h, which stays the caller's: it is closed after
// the rendezvous. Without options it finds nobody.
func New(h host.Host, opts ...Option) (*Rendezvous, error) {
	c := config{log: slog.New(slog.DiscardHandler), found: func(Candidate) {}, settle: addrSettle}
	for _, opt := range opts {
		if err := opt(&c); err != nil {
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Rendezvous{
		host: h, log: c.log, routing: c.routing, tableSize: c.tableSize,
		book: c.book, static: c.static, found: c.found,
		jobs: newSchedule(), stop: stop, topics: make(map[[32]byte]*Topic),
	}
	r.sweep.make = c.sweeper
	if err := r.startWatch(ctx, c.settle); err != nil {
		stop()
		return nil, err
	}
	r.addNodeJobs(c)
	r.done.Go(func() { r.jobs.Run(ctx) })
	return r, nil
}

func (r *Rendezvous) addNodeJobs(c config) {
	now := time.Now()
	add := func(run func(context.Context) time.Time) *job {
		j := newJob(laneNode, run)
		r.node = append(r.node, j)
		r.jobs.ask(j, now)
		return j
	}
	if len(c.static) > 0 {
		add(r.offerStatic)
	}
	if c.book != nil {
		add(r.saveBook)
	}
	if c.mdns {
		r.lan = newLAN(r)
		r.lan.job = add(r.lan.run)
	}
}

// Join starts to announce and look up key as mode says. found is told of each
// candidate, at most once a round; it is called by one goroutine at a time,
// must not block, must not call Leave or Close, and isn't called after Leave
// has returned. It may be nil for a topic that is only announced. A key is
// joined once: a second Join returns ErrJoined.
func (r *Rendezvous) Join(key [32]byte, mode Mode, found func(Candidate)) (*Topic, error) {
	if found == nil {
		found = func(Candidate) {}
	}
	t := newTopic(r, key, found)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.topics == nil:
		return nil, ErrClosed
	case r.topics[key] != nil:
		return nil, fmt.Errorf("%w: %s", ErrJoined, keyHex(key))
	case len(r.topics) == MaxTopics:
		return nil, ErrTooManyTopics
	}
	r.topics[key] = t
	r.count.Add(1)
	t.Update(mode)
	return t, nil
}

// Topic returns the topic of key, nil if it isn't joined.
func (r *Rendezvous) Topic(key [32]byte) *Topic {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.topics[key]
}

// Topics returns the joined topics in no order.
func (r *Rendezvous) Topics() []*Topic {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*Topic, 0, len(r.topics))
	for _, t := range r.topics {
		all = append(all, t)
	}
	return all
}

func (r *Rendezvous) forget(t *Topic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.topics[t.key] == t {
		delete(r.topics, t.key)
		r.count.Add(-1)
	}
}

// Close leaves all topics and returns when the last goroutine is gone and the
// book is saved. No function given to the rendezvous is called afterwards. It may be called twice. Announcements that were made stay
// with the DHT's nodes until they expire.
func (r *Rendezvous) Close() error {
	var err error
	r.closed.Do(func() {
		r.mu.Lock()
		topics := r.topics
		r.topics = nil
		r.mu.Unlock()
		for _, t := range topics {
			t.Leave()
		}
		r.foundMu.Lock()
		r.ended = true
		r.foundMu.Unlock()
		r.stop()
		r.done.Wait()
		if r.lan != nil {
			r.lan.stop()
		}
		err = r.sweep.close()
		if r.book != nil {
			err = errors.Join(err, r.book.Flush())
		}
	})
	return err
}
