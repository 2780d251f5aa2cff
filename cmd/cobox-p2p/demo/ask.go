package demo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/host"
)

// askAgain is the time between two questions to the DHT.
const askAgain = 500 * time.Millisecond

// ask finds out, as any newcomer who knows only the bootstrap node could, which
// peers the DHT names for the space. It doesn't speak with them. The reader may
// meet the seeder sooner: in a DHT this small everybody is everybody's
// neighbour, and neighbours ask each other for shared spaces.
func (d *demo) ask(ctx context.Context) (n int64, detail string, err error) {
	err = d.findProviders(ctx)
	return 0, "the DHT tells a newcomer who has the space: " + node.Count(len(d.report.Providers), "peer", "peers") + ", the seeder among them", err
}

// findProviders asks until the DHT names the seeder.
func (d *demo) findProviders(ctx context.Context) (err error) {
	ctx, stop := context.WithTimeout(ctx, stall)
	defer stop()
	config, err := discovery.ParseDHT(d.dht)
	if err != nil {
		return err
	}
	if config.Bootstrap, err = node.ParsePeers("bootstrap", d.bootstrap.addrs); err != nil {
		return err
	}
	h, err := host.NewHost(host.WithListen("/ip4/127.0.0.1/tcp/0"), host.WithoutPortMapping())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	table, err := discovery.NewDHT(h, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	if err := table.Bootstrap(ctx); err != nil {
		return err
	}
	key, err := hex.DecodeString(d.space.DiscoveryKey)
	if err != nil || len(key) != 32 {
		return fmt.Errorf("the discovery key %q has no 64 hex digits", d.space.DiscoveryKey)
	}
	for {
		d.report.Providers = []string{}
		for p := range table.FindProvidersAsync(ctx, discovery.CID([32]byte(key)), 0) {
			d.report.Providers = append(d.report.Providers, p.ID.String())
		}
		if slices.Contains(d.report.Providers, d.seeder.peerID) {
			return nil
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return fmt.Errorf("the DHT names %v for the space, not the seeder %s", d.report.Providers, d.seeder.peerID)
		}
	}
}
