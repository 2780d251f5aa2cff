package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// await looks at the status of a daemon's only space until done says so. Without
// any progress for a while it fails with what the daemon tells.
func (d *demo) await(ctx context.Context, p *daemon, done func(node.SpaceStatus) (progress uint64, done bool)) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	last, since := uint64(0), time.Now()
	for {
		s, err := p.client.Status(ctx)
		if err != nil {
			return err
		}
		if len(s.Spaces) != 1 {
			return fmt.Errorf("the %s has %d spaces instead of one", p.role, len(s.Spaces))
		}
		n, ok := done(s.Spaces[0])
		if ok {
			return nil
		}
		if n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > stall {
			return fmt.Errorf("the %s made no progress for %v; %s", p.role, stall, why(s))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// why collects what a status tells of trouble.
func why(s node.Status) string {
	words := []string{"DHT: " + s.DHT.State}
	for _, o := range s.Spaces {
		for what, r := range map[string]node.RoundStatus{"announce": o.Discovery.Announce, "look up": o.Discovery.Lookup} {
			if r.Error != "" {
				words = append(words, what+": "+r.Error)
			}
		}
		for _, t := range o.Tries {
			if t.Why != "" {
				words = append(words, t.PeerID+": "+t.Why)
			}
		}
	}
	return strings.Join(words, "; ")
}
