package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// runFlags are the flags of run.
type runFlags struct {
	listen, bootstrap, connect, relay []string
	dht, logLevel                     string
	limits                            limitFlags
	mdns, announce, relayService      bool
	untilStdinEnds                    bool
}

func (c *cli) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the node in the foreground, until SIGINT or SIGTERM",
		Long: "Runs the node of the data folder in the foreground. When it is ready it prints one line with its peer ID and its addresses.\n" +
			"It ends in order with SIGINT or SIGTERM, and at once with a second one.",
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			change, _, err := f.limits.change(cmd.Flags())
			if err != nil {
				return err
			}
			return c.run(cmd.Context(), f, change)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.listen, "listen", nil, "`multiaddr` to listen on, can be repeated (default all interfaces, any free port)")
	fl.StringVar(&f.dht, "dht", "public", "the DHT that spaces are found in: public, off, or private:/PREFIX")
	fl.StringArrayVar(&f.bootstrap, "bootstrap", nil, "`multiaddr` of a node of the DHT to begin with, can be repeated (the public DHT has its own)")
	fl.StringArrayVar(&f.connect, "connect", nil, "`multiaddr` of a peer to stay connected to, can be repeated")
	fl.BoolVar(&f.mdns, "mdns", true, "find peers on the local network, and be found there")
	fl.BoolVar(&f.announce, "announce", false, "announce new feeds and blocks by gossip; gossip peers then see which topics this node holds")
	fl.StringArrayVar(&f.relay, "relay", nil, "`multiaddr` of a relay to be reachable through, can be repeated, or auto to find relays in the DHT")
	fl.BoolVar(&f.relayService, "relay-service", false, "relay connections for others when this node is reachable from everywhere")
	fl.StringVar(&f.limits.up, "up", "", "limit of the `rate` of what is sent, for this run (default that of limit)")
	fl.StringVar(&f.limits.down, "down", "", "limit of the `rate` of what is received, for this run (default that of limit)")
	fl.StringVar(&f.limits.bytes, "bytes", "", "limit of the `size` of all blocks stored, for this run (default that of limit)")
	fl.StringVar(&f.logLevel, "log-level", "warn", "what is logged to standard error: debug, info, warn or error")
	fl.BoolVar(&f.untilStdinEnds, "until-stdin-ends", false, "end when standard input ends")
	fl.MarkHidden("until-stdin-ends")
	return cmd
}

// config returns what the flags say, or a *node.UseError.
func (f runFlags) config(log *slog.Logger) (c node.Config, err error) {
	c = node.Config{Listen: f.listen, MDNS: f.mdns, Gossip: f.announce, RelayService: f.relayService, Log: log}
	if err := node.CheckListen(f.listen); err != nil {
		return c, err
	}
	if c.DHT, err = discovery.ParseDHT(f.dht); err != nil {
		return c, &node.UseError{Message: "--dht: " + err.Error()}
	}
	if c.DHT.Bootstrap, err = node.ParsePeers("--bootstrap", f.bootstrap); err != nil {
		return c, err
	}
	if c.DHT.Kind == discovery.DHTOff && len(f.bootstrap) > 0 {
		return c, &node.UseError{Message: "--bootstrap means nothing with --dht off: use --connect"}
	}
	if c.Connect, err = node.ParsePeers("--connect", f.connect); err != nil {
		return c, err
	}
	var relays []string
	for _, r := range f.relay {
		if r == "auto" {
			c.RelayAuto = true
			continue
		}
		relays = append(relays, r)
	}
	if c.Relay, err = node.ParsePeers("--relay", relays); err != nil {
		return c, err
	}
	switch {
	case c.RelayAuto && len(relays) > 0:
		err = &node.UseError{Message: "--relay: say auto or name relays, not both"}
	case c.RelayAuto && c.DHT.Kind == discovery.DHTOff:
		err = &node.UseError{Message: "--relay auto finds relays in the DHT, which is off: name a relay"}
	}
	return c, err
}

func (f runFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, &node.UseError{Message: fmt.Sprintf("--log-level: %q is none of debug, info, warn and error", f.logLevel)}
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: plainErrors})), nil
}

// plainErrors keeps the stack of a failed store out of the log.
func plainErrors(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok && errors.Is(err, hypercore.ErrStorageFailed) {
		a.Value = slog.StringValue(node.Message(err))
	}
	return a
}

// Ready is what run prints when it is ready.
type Ready struct {
	Ready     bool     `json:"ready"`
	PeerID    string   `json:"peerId"`
	Dir       string   `json:"dir"`
	Addresses []string `json:"addresses"` // each ends in /p2p/ and the peer ID
}

func (c *cli) run(ctx context.Context, f runFlags, limits node.LimitChange) error {
	log, err := f.logger(c.err)
	if err != nil {
		return err
	}
	config, err := f.config(log)
	if err != nil {
		return err
	}
	config.Limits = limits
	gologshim.SetDefaultHandler(log.Handler())
	folder, err := node.OpenFolder(c.dir)
	if err != nil {
		return err
	}
	n, err := node.Open(folder, config)
	if err != nil {
		return err
	}
	server, err := api.Serve(n, log)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	ready := Ready{true, folder.PeerID().String(), c.dir, n.Addresses()}
	err = c.print(ready, func(w io.Writer) {
		fmt.Fprintf(w, "ready %s %s\n", ready.PeerID, strings.Join(ready.Addresses, " "))
	})
	if err == nil {
		c.wait(ctx, f, n.Failed())
	}
	log.Info("shutting down")
	err = errors.Join(err, server.Close(), n.Close())
	if failure := n.Failure(); failure != nil {
		return failure // whatever else went wrong follows from it
	}
	return err
}

// wait returns when the process is asked to end, or has to.
func (c *cli) wait(ctx context.Context, f runFlags, failed <-chan struct{}) {
	if f.untilStdinEnds {
		ended, stop := context.WithCancel(ctx)
		defer stop()
		go func() { defer stop(); io.Copy(io.Discard, c.in) }()
		ctx = ended
	}
	select {
	case <-ctx.Done():
	case <-failed:
	}
}
