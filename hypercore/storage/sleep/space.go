package sleep

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// The names under which CoBox's multifeed keeps a space in a store, as corestore
// joins namespaces. Each is the name of a feed.
const (
	spacePrefix  = "@multifeed:" // and the address in hex
	listSuffix   = ":@multifeed:persist"
	writerSuffix = ":@multifeed:feed:" // and the writer's name
)

// ErrNoSpace: nothing in the store belongs to the address.
var ErrNoSpace = errors.New("sleep: space not in this store")

// Address is the 32 bytes that name a space.
type Address [32]byte

// name returns the name of the space's namespace.
func (a Address) name() string { return spacePrefix + hex.EncodeToString(a[:]) }

// SpaceFeed is a feed of a space.
type SpaceFeed struct {
	Key    hypercore.Key
	Name   string // under which multifeed keeps it: a writer's name, or a number
	Writer bool   // one of this store's own writers
	Stored bool   // its folder is in the store
}

// Space is what a store knows of one space.
type Space struct {
	Address Address
	Feeds   []SpaceFeed // in the order in which the space got them
	// ListKey is the key of the private feed that lists them. It is no part of
	// the space.
	ListKey hypercore.Key
	// Damage is what of the list could not be read: it may have named more feeds.
	Damage []Damage
}

// parseFeedName splits the name of a feed of a space: role is listSuffix or
// writerSuffix, and writer the writer's name.
func parseFeedName(name string) (a Address, role, writer string, ok bool) {
	rest, ok := strings.CutPrefix(name, spacePrefix)
	if !ok || len(rest) < 64 || !isHex(rest[:64], 64) {
		return a, "", "", false
	}
	hex.Decode(a[:], []byte(rest[:64]))
	rest = rest[64:]
	if rest == listSuffix {
		return a, listSuffix, "", true
	}
	if writer, ok = strings.CutPrefix(rest, writerSuffix); ok {
		return a, writerSuffix, writer, true
	}
	return a, "", "", false
}

// named is a feed of the store whose file name says to which space it belongs.
type named struct {
	address      Address
	role, writer string
	dk           hypercore.DiscoveryKey
}

func (s *Store) named() (all []named) {
	for _, dk := range s.feeds {
		b, err := readSmall(filepath.Join(s.path(dk), nameFile), maxNameFile+1)
		if err != nil {
			continue
		}
		name, err := parseName(b)
		if err != nil {
			continue
		}
		if a, role, writer, ok := parseFeedName(name); ok {
			all = append(all, named{a, role, writer, dk})
		}
	}
	return all
}

// Addresses returns the spaces of which the store has a list or a writer, as
// their names tell, ascending. A space whose files name were lost is found by
// Space when its address is known.
func (s *Store) Addresses() []Address {
	var all []Address
	for _, n := range s.named() {
		all = append(all, n.address)
	}
	slices.SortFunc(all, func(a, b Address) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(all)
}

// Space returns the feeds of a space: those that its private list names, and
// this store's own writers. Only blocks of the list that verify are believed. It
// returns ErrNoSpace when the store has neither.
func (s *Store) Space(ctx context.Context, address Address) (Space, error) {
	space := Space{Address: address}
	list, ok := s.listKey(address)
	if ok {
		space.ListKey = list
		if err := s.readList(ctx, &space); err != nil {
			return space, fmt.Errorf("list of space %s: %w", address.discovery(), err)
		}
	}
	for _, n := range s.named() {
		if n.address == address && n.role == writerSuffix {
			s.addWriter(&space, n)
		}
	}
	for i := range space.Feeds {
		f := &space.Feeds[i]
		f.Stored = s.Has(f.Key.Discovery())
		if s.master != nil && s.master.KeyPair(address.name()+writerSuffix+f.Name).Public == f.Key {
			f.Writer = true
		}
	}
	if !ok && len(space.Feeds) == 0 {
		return space, ErrNoSpace
	}
	return space, nil
}

// discovery names the space where its address must not be told.
func (a Address) discovery() hypercore.DiscoveryKey { return hypercore.Key(a).Discovery() }

// listKey finds the list of a space by the name that the store derives for it,
// or by the name in its folder.
func (s *Store) listKey(address Address) (hypercore.Key, bool) {
	if s.master != nil {
		key := s.master.KeyPair(address.name() + listSuffix).Public
		if s.Has(key.Discovery()) {
			return key, true
		}
	}
	for _, n := range s.named() {
		if n.address == address && n.role == listSuffix {
			if f, err := s.Feed(n.dk); err == nil {
				defer f.Close()
				return f.Key(), true
			}
		}
	}
	return hypercore.Key{}, false
}

// addWriter adds a writer that the list doesn't name.
func (s *Store) addWriter(space *Space, n named) {
	f, err := s.Feed(n.dk)
	if err != nil {
		space.Damage = append(space.Damage, Damage{File: keyFile, Reason: BadFile, Err: err})
		return
	}
	defer f.Close()
	if i := space.find(f.Key()); i >= 0 {
		space.Feeds[i].Writer = true
		return
	}
	space.Feeds = append(space.Feeds, SpaceFeed{Key: f.Key(), Name: n.writer, Writer: true})
}

func (sp *Space) find(key hypercore.Key) int {
	return slices.IndexFunc(sp.Feeds, func(f SpaceFeed) bool { return f.Key == key })
}
