package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// errIncoming refuses what would open feeds that an import writes.
var errIncoming = errors.New("feeds of this space are being imported: wait until that has ended")

// ImportOptions say what of an old store goes where.
type ImportOptions struct {
	Dir   string // absolute: a store of corestore 5 or a feed of hypercore 9
	Space string // access key or address, or a space of this node; empty for the only one of the store
	Name  string // of a space that is not here yet; empty for the default
}

// importing is one import on its way.
type importing struct {
	node   *Node
	src    *source
	space  *space // nil until it is joined
	listed []*listedFeed
	done   Imported
}

// listedFeed is a feed that the old store names.
type listedFeed struct {
	sleep.SpaceFeed
	pair    hypercore.KeyPair // not Valid when the store has no secret of it
	stored  bool              // what the store has of it was dealt with
	adopted bool              // it is in the space
	least   uint64            // blocks that the old store names
	done    *ImportedFeed
}

// Import brings the feeds of a space of the old software into a space of this
// node, which joins it if it isn't here: what verifies, and nothing else. Writers
// whose keys the old store has come with them, and stay read-only until
// ConfirmImport. Repeated, it goes on where it ended. Nothing is written to Dir.
// What is wrong with single feeds is part of the answer; the error is a *UseError
// or what ended the import.
func (n *Node) Import(ctx context.Context, o ImportOptions) (Imported, error) {
	if !filepath.IsAbs(o.Dir) {
		return Imported{}, useErrorf("the path of the old store must be absolute")
	}
	src, err := openSource(o.Dir)
	if err != nil {
		return Imported{}, err
	}
	e, s, err := n.target(o, src)
	if err != nil {
		return Imported{}, err
	}
	im := &importing{node: n, src: src, space: s}
	access, err := e.access()
	if err != nil {
		return Imported{}, err
	}
	if s == nil {
		err = im.alone(ctx, e, access.Address)
	} else {
		err = im.list(ctx, access.Address)
	}
	if err != nil {
		return im.done, err
	}
	return im.into(ctx)
}

// target returns the space to import into, nil if it isn't here, and the entry
// that it has or shall get.
func (n *Node) target(o ImportOptions, src *source) (entry, *space, error) {
	e := entry{Name: o.Name, Mode: ModeSeeder}
	a, err := multifeed.ParseAccess(o.Space)
	switch {
	case o.Space == "":
		if a.Address, err = src.address(); err != nil {
			return e, nil, err
		}
	case err != nil:
		s, err := n.findUsable(o.Space)
		if err != nil {
			return e, nil, err
		}
		a.Address = s.address
	}
	if a.Kind == multifeed.KindSigned {
		return e, nil, useErrorf("that is a signed space, and the old software knows open ones only: its blocks could not be read there")
	}
	e.Access = a.Address.String()
	if a.EncryptionKey != nil {
		e.Mode = ModeMember
		if e.Access, err = multifeed.FormatAccessKey(a.Address, *a.EncryptionKey); err != nil {
			return e, nil, err
		}
	}
	return n.targetOf(e, a.Address)
}

// targetOf finds the space of an entry, or checks that it can join the others.
func (n *Node) targetOf(e entry, address multifeed.Address) (entry, *space, error) {
	spaces := n.list()
	for _, s := range spaces {
		if s.address != address {
			continue
		}
		if e.Name != "" && e.Name != s.entry.Name {
			return e, nil, useErrorf("the space is here already, as %s", s.entry.Name)
		}
		if s.entry.Mode == ModeSeeder && e.Mode == ModeMember {
			return e, nil, refuseNew(e, address, []*space{s})
		}
		return s.entry, s, s.usable()
	}
	if e.Name == "" {
		e.Name = address.Discovery().String()[:8]
	}
	if err := checkNewName(e.Name); err != nil {
		return e, nil, err
	}
	return e, nil, refuseNew(e, address, spaces)
}

// alone imports into the store while nobody here has the space, and joins it then.
func (im *importing) alone(ctx context.Context, e entry, address multifeed.Address) error {
	n := im.node
	n.mu.Lock()
	taken := n.incoming[address]
	n.incoming[address] = true
	n.mu.Unlock()
	if taken {
		return errIncoming
	}
	err := im.list(ctx, address)
	if err == nil {
		err = im.bulk(ctx)
	}
	n.mu.Lock()
	delete(n.incoming, address)
	n.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := n.add(e); err != nil {
		return err
	}
	im.done.Joined = true
	im.space, err = n.findUsable(e.Name)
	return err
}

// list reads which feeds the old store names.
func (im *importing) list(ctx context.Context, address multifeed.Address) error {
	im.done = newImported()
	sp, err := im.src.space(ctx, address)
	if err != nil {
		return err
	}
	for _, d := range sp.Damage {
		im.done.Damage = append(im.done.Damage, damageOf(d))
	}
	im.done.Complete = len(sp.Damage) == 0
	if im.src.store != nil {
		im.done.Strangers, im.done.MoreStranger = im.src.store.Strangers()
	}
	others, err := im.src.others(ctx)
	if err != nil {
		return err
	}
	im.done.setOthers(others)
	for _, f := range sp.Feeds {
		l := &listedFeed{SpaceFeed: f, done: &ImportedFeed{Feed: f.Key.String(), Writer: f.Name, Damage: []LegacyDamage{}}}
		im.listed = append(im.listed, l)
	}
	return nil
}

// bulk writes the feeds that nobody has open into the store.
func (im *importing) bulk(ctx context.Context) error {
	held := im.node.held(nil)
	for _, l := range im.listed {
		if _, open := im.node.store.Loaded(l.Key); open || !l.Stored || held(l.Key) {
			continue
		}
		err := im.take(ctx, l, func(src *sleep.Feed) (sleep.Report, error) {
			return sleep.Import(ctx, im.node.st, src, nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// take lets with bring a feed of the old store here. What is wrong with the feed
// alone is noted.
func (im *importing) take(ctx context.Context, l *listedFeed, with func(*sleep.Feed) (sleep.Report, error)) error {
	l.stored = true
	src, err := im.src.open(l.Key)
	if err != nil {
		if errors.Is(err, sleep.ErrInUse) {
			return fmt.Errorf("%w: stop the old software first", err)
		}
		l.done.Error = Message(err)
		return nil
	}
	defer src.Close()
	l.pair, l.least = src.KeyPair(), leastOf(src)
	report, err := with(src)
	l.done.report(report)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, hypercore.ErrStorageFailed), errors.Is(err, hypercore.ErrClosed):
		return err
	}
	l.done.Error = Message(err)
	return nil
}

// leastOf returns how many blocks the folder of a feed names, signed or not.
func leastOf(src *sleep.Feed) uint64 {
	least := src.Length()
	for _, d := range src.Damage() {
		if d.Reason == sleep.BadSignature {
			least = max(least, d.Span.End())
		}
	}
	return least
}
