package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// source is what an import reads: a store of corestore 5, or the folder of a
// single feed of hypercore 9. Nothing is written to it.
type source struct {
	dir   string
	store *sleep.Store // nil for a single feed
}

// openSource opens the store or feed in dir. It returns a *UseError when there is
// neither.
func openSource(dir string) (*source, error) {
	store, err := sleep.OpenStore(dir)
	switch {
	case err == nil:
		return &source{dir, store}, nil
	case errors.Is(err, sleep.ErrInUse):
		return nil, fmt.Errorf("%w: stop the old software first", err)
	case errors.Is(err, sleep.ErrNoStore):
		f, err := sleep.Open(dir)
		if err != nil {
			return nil, useErrorf("there is neither a store of CoBox nor a feed of hypercore 9: %s", Message(err))
		}
		return &source{dir, nil}, f.Close()
	}
	return nil, &UseError{Message(err)}
}

// address returns the only space of the store, or a *UseError that lists what
// there is to choose from.
func (s *source) address() (multifeed.Address, error) {
	if s.store == nil {
		return multifeed.Address{}, useErrorf("a single feed doesn't tell to which space it belongs: name that with --space")
	}
	all := s.store.Addresses()
	if len(all) == 1 {
		return openAddress(all[0]), nil
	}
	return multifeed.Address{}, useErrorf("%s: name one with --space, by its address or better its access key%s", Count(len(all), "space is in the store", "spaces are in the store"), s.choice())
}

// choice lists the addresses of the store, one a line.
func (s *source) choice() string {
	var b strings.Builder
	for _, a := range s.store.Addresses() {
		fmt.Fprintf(&b, "\n  %s", openAddress(a))
	}
	return b.String()
}

// openAddress is the address of a space of the old software.
func openAddress(a sleep.Address) multifeed.Address {
	return multifeed.Address{Kind: multifeed.KindOpen, Key: a}
}

// space returns the feeds of a space.
func (s *source) space(ctx context.Context, address multifeed.Address) (sleep.Space, error) {
	if s.store == nil {
		f, err := sleep.Open(s.dir)
		if err != nil {
			return sleep.Space{}, err
		}
		defer f.Close()
		_, name, _ := strings.Cut(f.Name(), ":@multifeed:feed:") // as multifeed names its writers
		return sleep.Space{Feeds: []sleep.SpaceFeed{{Key: f.Key(), Name: name, Writer: f.KeyPair().Valid(), Stored: true}}}, nil
	}
	sp, err := s.store.Space(ctx, sleep.Address(address.Key))
	if errors.Is(err, sleep.ErrNoSpace) {
		return sp, useErrorf("nothing in the store belongs to that space; it has %s%s", Count(len(s.store.Addresses()), "space", "spaces"), s.choice())
	}
	return sp, err
}

// open opens one of the space's feeds.
func (s *source) open(key hypercore.Key) (*sleep.Feed, error) {
	if s.store == nil {
		return sleep.Open(s.dir)
	}
	return s.store.Feed(key.Discovery())
}

// others returns the feeds of the store that none of its spaces names, ascending.
func (s *source) others(ctx context.Context) ([]hypercore.DiscoveryKey, error) {
	if s.store == nil {
		return nil, nil
	}
	rest := map[hypercore.DiscoveryKey]bool{}
	for _, dk := range s.store.Feeds() {
		rest[dk] = true
	}
	for _, a := range s.store.Addresses() {
		sp, err := s.store.Space(ctx, a)
		if err != nil {
			return nil, err
		}
		delete(rest, sp.ListKey.Discovery())
		for _, f := range sp.Feeds {
			delete(rest, f.Key.Discovery())
		}
	}
	return slices.SortedFunc(maps.Keys(rest), func(a, b hypercore.DiscoveryKey) int { return slices.Compare(a[:], b[:]) }), nil
}

// writerOf returns the name under which a feed that came with its keys is written
// here: that in the old store, or the beginning of its key where that is none.
func writerOf(f sleep.SpaceFeed) string {
	_, err := strconv.ParseUint(f.Name, 10, 64)
	if number := err == nil; number || f.Name == "" || len(f.Name) > multifeed.MaxName ||
		!utf8.ValidString(f.Name) || strings.ContainsFunc(f.Name, unicode.IsControl) {
		return f.Key.String()[:8]
	}
	return f.Name
}
