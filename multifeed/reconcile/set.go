package reconcile

// Key is the discovery key of a feed.
type Key = [32]byte

// EntryHash stands for what a side has to tell of a feed: see HashEntry.
type EntryHash = [16]byte

// Set is the feed set as a Merkle trie over the keys. Its shape and fingerprint
// follow from its content alone, not from the order of the changes. See
// interop/spec/feedset.md, "The trie". It is not safe for concurrent use.
type Set struct {
	root *node
	gen  uint32 // Invariant: no view has a node of this generation
	buf  []byte // for its memory
}

// entry is one feed. The trie copies entries and never shares them.
type entry struct {
	key  Key
	hash EntryHash
}

// New returns an empty set.
func New() *Set { return &Set{} }

// Len returns how many feeds are in the set.
func (s *Set) Len() int { return s.root.len() }

// Get returns the hash of a key, and whether the set has it.
func (s *Set) Get(key Key) (EntryHash, bool) { return s.root.get(key) }

// Set puts a key into the set or changes its hash, and says whether that changed
// anything.
func (s *Set) Set(key Key, hash EntryHash) bool {
	old, there := s.Get(key)
	if there && old == hash {
		return false
	}
	s.root = s.put(s.root, 0, entry{key, hash})
	return true
}

// Delete takes a key out of the set and says whether it was there.
func (s *Set) Delete(key Key) bool {
	if _, there := s.Get(key); !there {
		return false
	}
	s.root = s.remove(s.root, 0, key)
	return true
}

// Fingerprint returns the fingerprint of the whole set, zero for an empty one. It
// hashes what changed since the last one.
func (s *Set) Fingerprint() [32]byte { return s.fingerprint(s.root, 0, Key{}) }

// Snapshot returns a view of the set as it is. It hashes what changed since the
// last one.
func (s *Set) Snapshot() *Snapshot {
	s.Fingerprint()
	s.gen++
	return &Snapshot{s.root}
}

// Snapshot is a set that never changes. Any goroutine may read it.
type Snapshot struct{ root *node } // Invariant: all fingerprints are known

// Len returns how many feeds are in the snapshot.
func (v *Snapshot) Len() int { return v.root.len() }

// Get returns the hash of a key, and whether the snapshot has it.
func (v *Snapshot) Get(key Key) (EntryHash, bool) { return v.root.get(key) }

// Fingerprint returns what Set.Fingerprint did.
func (v *Snapshot) Fingerprint() [32]byte { return v.root.sum() }
