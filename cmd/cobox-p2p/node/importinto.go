package node

import (
	"context"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// into takes the feeds into the joined space, with their blocks where these are
// not in the store yet, and returns when all is durable.
func (im *importing) into(ctx context.Context) (Imported, error) {
	s := im.space
	im.done.Space, im.done.DiscoveryKey, im.done.Mode = s.entry.Name, s.address.Discovery().String(), s.entry.Mode
	during, stop := s.during(ctx)
	defer stop()
	for _, l := range im.listed {
		if err := im.intoFeed(during, l); err != nil {
			return im.done, fmt.Errorf("space %s: %w", s.entry.Name, s.why(during, err))
		}
		im.done.add(l)
	}
	return im.done, commitRecords(im.node.st)
}

func (im *importing) intoFeed(ctx context.Context, l *listedFeed) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.Stored && !l.stored {
		err := im.take(ctx, l, func(src *sleep.Feed) (sleep.Report, error) {
			f, err := im.adopt(l)
			if err == nil {
				err = f.Damaged()
			}
			if err != nil {
				return sleep.Report{}, err
			}
			return sleep.Copy(ctx, f.Feed, src, nil)
		})
		if err != nil || l.adopted {
			return err
		}
	}
	if _, err := im.adopt(l); err != nil {
		l.done.Error = Message(err)
	}
	return nil
}

// adopt takes the feed into the space, with its keys if the old store has them and
// this node didn't give them away.
func (im *importing) adopt(l *listedFeed) (*multifeed.Feed, error) {
	s := im.space
	l.adopted = true
	f, err := s.Feed(l.Key)
	if own := err == nil && f.Own(); own || !l.pair.Valid() {
		return s.Add(l.Key, multifeed.Admission{})
	}
	o := s.handed.get(l.Key)
	if o.State == stateGoing || o.State == stateGone {
		l.done.Note = "its keys were given away from here, so this node never writes it again"
		return s.Add(l.Key, multifeed.Admission{})
	}
	// Remembered first: cut here, the import is repeated.
	o = handover{State: stateCame, Name: writerOf(l.SpaceFeed), Least: max(o.Least, l.least)}
	if err := s.handed.put(map[hypercore.Key]handover{l.Key: o}); err != nil {
		return nil, err
	}
	if f, err = s.AddWriter(l.pair, o.Name); err != nil {
		return nil, fmt.Errorf("writer %s: %w", o.Name, err)
	}
	l.done.Writer, l.done.Keys, l.done.Note = o.Name, true, s.state(f)
	return f, nil
}
