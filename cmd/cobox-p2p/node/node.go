package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Node is a running node: its store is locked, its spaces are joined. It may be
// used by several goroutines at once.
type Node struct {
	folder *Folder
	log    *slog.Logger
	st     *storage.Store
	store  *corestore.Store
	net    *network
	limits *limits

	changing  sync.Mutex // held over I/O by whoever changes the list of spaces
	exporting sync.Mutex // held over I/O by whoever hands writers over

	mu     sync.Mutex // guards all below; never held over I/O
	spaces []*space   // by the time of their joining
	closed bool
	// incoming are the spaces whose feeds an import writes past the feeds that are
	// open: nobody may join them meanwhile.
	incoming map[multifeed.Address]bool
}

// ErrRunning is returned by Open for a folder that another daemon has open.
var ErrRunning = errors.New("another daemon runs")

// Open starts the node of the folder. A space that can't be opened doesn't stop
// the others; Status tells why. A store that doesn't hold what the folder's
// instance wrote makes Open give the folder a new instance. The caller closes
// the node.
func Open(folder *Folder, c Config) (*Node, error) {
	n := &Node{folder: folder, log: c.logger(), incoming: map[multifeed.Address]bool{}}
	st, err := storage.Open(filepath.Join(folder.Dir, storeFolder), storage.WithLogger(n.log))
	if errors.Is(err, storage.ErrLocked) {
		return nil, fmt.Errorf("%w in %s: stop it first, or use its commands", ErrRunning, folder.Dir)
	}
	if err != nil {
		return nil, err
	}
	n.st = st
	n.store = corestore.New(st, folder.Master)
	if err := n.open(c); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open(c Config) error {
	entries, err := readSpaces(n.folder.Dir)
	if err != nil {
		return err
	}
	if n.limits, err = openLimits(n.folder.Dir, c.Limits); err != nil {
		return err
	}
	if err := n.tie(len(entries) > 0); err != nil {
		return err
	}
	if n.net, err = openNetwork(n.folder, c, n.limits.allowPeer); err != nil {
		return err
	}
	for _, e := range entries {
		s := newSpace(e)
		if s.err = n.openSpace(s); s.err != nil {
			n.log.Error("space not opened", "space", e.Name, "err", s.err)
		}
		n.spaces = append(n.spaces, s)
	}
	return n.finishLeaving()
}

// tie makes the folder's instance that of the store.
func (n *Node) tie(remembers bool) error {
	if err := giveUpInstance(n.st, n.st.Rebuilt()); err != nil {
		return err
	}
	fresh, err := tieInstance(n.st, n.folder)
	if fresh && remembers {
		n.log.Warn("this node has a new instance: the store isn't the one that its feeds were written to, and writing on could sign a second history; feeds from before are read-only now and come back from peers",
			"store", filepath.Join(n.folder.Dir, storeFolder))
	}
	return err
}

// Failed is closed when the store failed. It then takes no writes until the node
// is opened again; Failure tells why.
func (n *Node) Failed() <-chan struct{} { return n.st.Failed() }

// Failure returns what Failed tells of, an error that wraps
// hypercore.ErrStorageFailed, or nil.
func (n *Node) Failure() error {
	if err := n.st.Err(); err != nil {
		return fmt.Errorf("the store of this node failed and nothing more is kept: mend the cause and start the daemon again: %w", err)
	}
	return nil
}

// Folder returns the folder that Open was given.
func (n *Node) Folder() *Folder { return n.folder }

// Addresses returns the node's addresses, each ending in /p2p/ and the peer ID.
func (n *Node) Addresses() []string { return n.net.addresses() }

// Close leaves the spaces, ends the network and then the store. It may be called
// twice.
func (n *Node) Close() error {
	n.changing.Lock()
	defer n.changing.Unlock()
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	spaces := slices.Clone(n.spaces)
	n.mu.Unlock()
	if !first {
		return nil
	}
	var errs []error
	if n.net != nil {
		errs = append(errs, n.net.stopSessions())
	}
	for _, s := range spaces {
		if s.Space != nil {
			errs = append(errs, s.Space.Close())
		}
	}
	if n.net != nil {
		errs = append(errs, n.net.close())
	}
	return errors.Join(append(errs, n.store.Close(), n.st.Close())...)
}

// list returns the spaces of now.
func (n *Node) list() []*space {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.spaces)
}

// saveLocked writes spaces.json as the list would be. The caller holds changing.
func (n *Node) saveLocked(spaces []*space) error {
	list := make([]entry, 0, len(spaces))
	for _, s := range spaces {
		list = append(list, s.entry)
	}
	if err := writeSpaces(n.folder.Dir, list); err != nil {
		return fmt.Errorf("remember the spaces: %w", err)
	}
	n.mu.Lock()
	n.spaces = spaces
	n.mu.Unlock()
	return nil
}

// openSpace opens the space of an entry and, unless it is being left, joins it.
func (n *Node) openSpace(s *space) error {
	access, err := s.entry.access()
	if err != nil {
		return err
	}
	s.address = access.Address
	if s.handed, err = openHanded(n.st, s.address, n.log); err != nil {
		return err
	}
	opts := []multifeed.Option{
		multifeed.WithAccess(access),
		multifeed.WithInstance(n.folder.Instance),
		multifeed.WithAbout(multifeed.About{Name: n.folder.Name}),
		multifeed.WithLogger(n.log),
	}
	opts = append(opts, n.limits.options(s)...)
	if s.Space, err = multifeed.Open(n.store, access.Address, opts...); err != nil {
		return err
	}
	if s.entry.Leaving {
		return nil
	}
	peers := cmp.Or(n.limits.of(s.address.Discovery()).Peers, host.MaxPeers)
	if s.member, err = n.net.networker.Join(s.Space, host.WithSpaceMaxPeers(peers)); err != nil {
		s.Space.Close()
		s.Space = nil
	}
	return err
}

// held returns a function that says whether a joined space other than s has the
// feed.
func (n *Node) held(s *space) func(hypercore.Key) bool {
	var others []*multifeed.Space
	for _, o := range n.list() {
		if o != s && o.Space != nil {
			others = append(others, o.Space)
		}
	}
	return func(key hypercore.Key) bool {
		return slices.ContainsFunc(others, func(o *multifeed.Space) bool {
			_, err := o.Feed(key)
			return err == nil
		})
	}
}
