// Package multifeed is one space: the feeds of many writers under one address,
// and their replication with peers over any byte stream. It knows nothing of
// libp2p. See interop/spec.
package multifeed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
)

// Errors that callers test for.
var (
	ErrClosed      = errors.New("multifeed: space is closed")
	ErrNoSecret    = errors.New("multifeed: only who holds the space's secret can add feeds to it")
	ErrNoKey       = errors.New("multifeed: the space's encryption key is not here")
	ErrTooMany     = errors.New("multifeed: the space has as many feeds as its limit allows")
	ErrUnknownFeed = errors.New("multifeed: feed is not in the space")
	ErrName        = fmt.Errorf("multifeed: a name has 1 to %d bytes of UTF-8 and no control characters", MaxName)
)

// Instance tells apart the nodes that share a master key, so that no two of
// them ever write the same feed: 16 random bytes, made when a node is set up and
// made anew whenever it is recovered or restored. It is never part of a
// back-up. See interop/spec/keys.md, "Writers".
type Instance [16]byte

// NewInstance returns a random instance.
func NewInstance() Instance {
	var i Instance
	rand.Read(i[:])
	return i
}

// Offer is a feed that a peer offers for a space.
type Offer struct {
	Space  Address
	Feed   hypercore.Key
	Length uint64 // of its signed head, 0 when none was shown
	Remote []byte // who offers it: the bytes of a peer ID; nil for a feed of a bundle
}

// Policy decides on a feed that a peer offers before a byte of it is fetched
// or stored. An error refuses it: the feed is skipped, the peer not punished.
type Policy func(Offer) error

// Space is one space on this node. It may be used by several goroutines at
// once.
type Space struct {
	store    *corestore.Store
	address  Address
	key      *EncryptionKey // nil: a seeder, which reads nothing
	secret   *Secret        // nil: adds no feeds to a signed space
	policy   Policy
	maxFeeds int
	about    About
	quota    quota   // its maps and limits are guarded by mu
	up, down []*Pace // what sessions send and receive passes all of them; set once
	log      *slog.Logger

	run     func(func(context.Context)) // in a goroutine of the space; set once, called with mu
	stop    context.CancelFunc          // ends what run started; set once
	running sync.WaitGroup              // what run started

	holdings holdings

	retiring sync.Mutex // held over I/O by whoever ends the writing of own feeds, or waits for that
	adding   sync.Mutex // held over I/O by whoever adds a feed
	opening  sync.Mutex // held over I/O by whoever opens a feed of the set
	gone     struct {
		sync.Mutex // guards list
		list       []leftover
	}

	mu         sync.Mutex // guards all below; never held over I/O
	closed     bool
	instance   Instance // under which this node writes
	compared   bool     // with the set of some peer: no own feed is older than what that peer has
	set        members
	changed    chan struct{}
	sessions   map[*Session]struct{}
	exchanged  bool // the feed set was exchanged with a peer since Open
	extensions map[string]*Extension
	watchers   map[*watcher]struct{}
}

// Option changes how a space is opened.
type Option func(*Space) error

// WithEncryptionKey lets the space's blocks be read and written.
func WithEncryptionKey(k EncryptionKey) Option {
	return func(s *Space) error { s.key = &k; return nil }
}

// WithSecret makes the space a member's: the encryption key and the right to
// add feeds follow from the secret. It must be that of the space's address.
func WithSecret(secret Secret) Option {
	return func(s *Space) error {
		if secret.Address() != s.address {
			return errors.New("multifeed: the secret is not that of the space's address")
		}
		key := secret.EncryptionKey()
		s.secret, s.key = &secret, &key
		return nil
	}
}

// WithAccess takes what ParseAccess returned.
func WithAccess(a Access) Option {
	return func(s *Space) error {
		if a.Secret != nil {
			return WithSecret(*a.Secret)(s)
		}
		s.key = a.EncryptionKey
		return nil
	}
}

// WithInstance sets the node's instance. Without it a new one is made, and the
// writers of an earlier run are read-only. One that was retired stands for the one
// that came in its place.
func WithInstance(i Instance) Option {
	return func(s *Space) error { s.instance = i; return nil }
}

// WithPolicy sets the hook that decides on feeds that peers offer.
func WithPolicy(p Policy) Option {
	return func(s *Space) error { s.policy = p; return nil }
}

// WithMaxFeeds sets how many feeds the space takes in, own ones included.
func WithMaxFeeds(n int) Option {
	return func(s *Space) error {
		if n < 1 {
			return fmt.Errorf("multifeed: %d is no limit for feeds", n)
		}
		s.maxFeeds = n
		return nil
	}
}

// WithAbout sets what peers of this space are told of this node.
func WithAbout(a About) Option {
	return func(s *Space) error { s.about = a; return a.check() }
}

// WithLogger sets where the space logs; it is silent without.
func WithLogger(l *slog.Logger) Option {
	return func(s *Space) error { s.log = l; return nil }
}

// Open opens the space of that address with the feeds that store knows of it.
// Without an encryption key it is a seeder's: it replicates and serves
// everything and reads nothing. Closing the space does not close the store.
func Open(store *corestore.Store, address Address, opts ...Option) (*Space, error) {
	if err := address.Check(); err != nil {
		return nil, err
	}
	s := &Space{
		store: store, address: address, instance: NewInstance(), maxFeeds: MaxFeeds,
		log:        slog.New(slog.DiscardHandler),
		set:        newMembers(),
		changed:    make(chan struct{}),
		sessions:   map[*Session]struct{}{},
		extensions: map[string]*Extension{},
		watchers:   map[*watcher]struct{}{},
	}
	for _, o := range opts {
		if err := o(s); err != nil {
			return nil, err
		}
	}
	s.log = s.log.With("space", fmt.Sprintf("%.8s", address.Discovery()))
	err := s.followInstance()
	if err == nil {
		err = s.loadSet()
	}
	if err == nil {
		err = s.countStored()
	}
	if err != nil {
		return nil, fmt.Errorf("open space %.8s: %w", address.Discovery(), err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.run = func(f func(context.Context)) { s.running.Go(func() { f(ctx) }) }
	if s.Writable() {
		s.retiring.Lock()
		if err := s.moveAll(ctx); err != nil {
			s.log.Error("blocks of retired feeds not appended again", "err", err)
		}
		s.retiring.Unlock()
	}
	return s, nil
}

// Address returns the space's address.
func (s *Space) Address() Address { return s.address }

// Discovery returns the space's discovery key, the only name of it that is
// published.
func (s *Space) Discovery() hypercore.DiscoveryKey { return s.address.Discovery() }

// Readable says whether the encryption key is here.
func (s *Space) Readable() bool { return s.key != nil }

// Writable says whether this node can add feeds of its own.
func (s *Space) Writable() bool {
	return s.key != nil && (s.address.Kind == KindOpen || s.secret != nil)
}

// Feeds returns the space's feeds by the order of their arrival here. It opens
// all of them, see All.
func (s *Space) Feeds() []*Feed {
	feeds := make([]*Feed, 0, s.Len())
	for f := range s.All() {
		feeds = append(feeds, f)
	}
	return feeds
}

// All yields the feeds that the space has now by the order of their arrival
// here. Each is opened when its turn comes and closed again when nobody holds it
// any more. One that can't be opened because the store fails is left out.
func (s *Space) All() iter.Seq[*Feed] {
	return func(yield func(*Feed) bool) {
		for place := range uint32(s.Len()) {
			f, err := s.feedAt(place)
			if err != nil {
				s.logUnopened(place, err)
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

func (s *Space) logUnopened(place uint32, err error) {
	s.log.Error("feed not opened", "feed", fmt.Sprintf("%.8s", s.keyAt(place).Discovery()), "err", err)
}

// Feed returns the feed of that key or ErrUnknownFeed.
func (s *Space) Feed(key hypercore.Key) (*Feed, error) {
	f, err := s.byDiscovery(key.Discovery())
	if err == nil && f == nil {
		return nil, ErrUnknownFeed
	}
	return f, err
}

// byDiscovery returns the feed with that discovery key, nil when it isn't in the
// set.
func (s *Space) byDiscovery(dk hypercore.DiscoveryKey) (*Feed, error) {
	s.mu.Lock()
	place, ok := s.set.find(dk)
	s.mu.Unlock()
	if !ok {
		return nil, nil
	}
	f, err := s.feedAt(place)
	if err != nil {
		return nil, fmt.Errorf("open feed %.8s: %w", dk, err)
	}
	return f, nil
}

// Sessions returns the sessions of now.
func (s *Space) Sessions() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.sessions))
}

// Watch yields every feed of the space, those of now and those to come, until
// ctx ends or the space is closed.
func (s *Space) Watch(ctx context.Context) iter.Seq[*Feed] {
	return func(yield func(*Feed) bool) {
		for place := uint32(0); s.waitMember(ctx, place); place++ {
			f, err := s.feedAt(place)
			if err != nil {
				s.logUnopened(place, err)
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

// waitMember returns when the set has a member at that place, and false when the
// space or ctx ended.
func (s *Space) waitMember(ctx context.Context, place uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for int(place) >= len(s.set.list) && !s.closed && ctx.Err() == nil {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	return !s.closed && ctx.Err() == nil
}

// Changed returns a channel that is closed at the next change of the feed set,
// of what is stored here or with a peer, or of the sessions.
func (s *Space) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Space) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Space) noteChange() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changedLocked()
}

// Exchanged says whether the feed set was exchanged with a peer since the space
// was opened.
func (s *Space) Exchanged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exchanged
}

// Close ends all sessions, waits for them, and closes the space. Its feeds stay
// open in the store. It may be called twice.
func (s *Space) Close() error {
	s.adding.Lock() // so that no feed comes later
	s.mu.Lock()
	s.closed = true
	s.changedLocked()
	open := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	s.adding.Unlock()
	for _, x := range open {
		x.end(ErrLeft)
	}
	s.stop()
	for _, x := range open {
		<-x.done
	}
	s.running.Wait()
	s.giveBackAll()
	if s.quota.ration != nil {
		s.quota.ration.Close()
	}
	return nil
}
