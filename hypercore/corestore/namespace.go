package corestore

import "github.com/cobox-p2p/cobox-p2p/hypercore"

// Namespace derives the names of a part of the store, as corestore 5 does:
// nested names are joined with ":".
type Namespace struct {
	store *Store
	name  string
}

// Namespace returns the namespace of that name.
func (s *Store) Namespace(name string) Namespace { return Namespace{s, name} }

// Namespace returns the namespace of that name inside n.
func (n Namespace) Namespace(name string) Namespace { return Namespace{n.store, n.name + ":" + name} }

// Name returns the name of the namespace's own feed.
func (n Namespace) Name() string { return n.name }

// Default opens the namespace's own feed, which is named like the namespace.
func (n Namespace) Default() (*hypercore.Feed, error) { return n.store.Named(n.name) }

// Acquire lends the namespace's own feed; see Store.AcquireNamed.
func (n Namespace) Acquire() (*Handle, error) { return n.store.AcquireNamed(n.name) }
