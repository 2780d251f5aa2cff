package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (c *cli) connectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "connect MULTIADDR",
		Short: "Connect to a peer and find the spaces that both share",
		Args:  takes(1, "MULTIADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				d, err := client.Connect(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return c.print(d, func(w io.Writer) { printConnected(w, d) })
			})
		},
	}
}

func printConnected(w io.Writer, d node.Connected) {
	if len(d.Spaces) == 0 {
		fmt.Fprintf(w, "connected to %s; no shared space yet: see peers\n", d.PeerID)
		return
	}
	fmt.Fprintf(w, "connected to %s; shared spaces: %s\n", d.PeerID, strings.Join(d.Spaces, ", "))
}

func (c *cli) peersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "peers",
		Short: "List the peers that share spaces with this node now",
		Args:  takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.client(func(client *api.Client) error {
				all, err := client.Peers(cmd.Context())
				if err != nil {
					return err
				}
				answer := struct {
					Peers []node.Peer `json:"peers"`
				}{all}
				return c.print(answer, func(w io.Writer) {
					for _, p := range all {
						fmt.Fprintf(w, "%s\t%q\t%s %s\t%s\tsent %s\treceived %s\t%s\n", p.PeerID, p.Name, p.Transport, p.Direction,
							p.Address, sizeText(p.Sent), sizeText(p.Received), strings.Join(p.Spaces, ", "))
					}
				})
			})
		},
	}
}

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the node, its spaces, their feeds and how they are found",
		Args:  takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.client(func(client *api.Client) error {
				s, err := client.Status(cmd.Context())
				if err != nil {
					return err
				}
				return c.print(s, func(w io.Writer) { printStatus(w, s) })
			})
		},
	}
}

func printStatus(w io.Writer, s node.Status) {
	fmt.Fprintf(w, "peer ID\t%s\nname\t%s\nfolder\t%s\npeers\t%d\n", s.PeerID, s.Name, s.Dir, s.Peers)
	for _, a := range s.Addresses {
		fmt.Fprintf(w, "address\t%s\n", a)
	}
	fmt.Fprintf(w, "DHT\t%s: %s\nmDNS\t%s\n", s.DHT.Mode, s.DHT.State, s.MDNS.State)
	for _, o := range s.Spaces {
		fmt.Fprintf(w, "\nspace\t%s (%s, %s)\n", o.Name, o.Mode, o.Kind)
		if o.Error != "" {
			fmt.Fprintf(w, "  error\t%s\n", o.Error)
			continue
		}
		fmt.Fprintf(w, "  discovery key\t%s\n  announced\t%s\n  looked up\t%s\n", o.DiscoveryKey, roundText(o.Discovery.Announce), roundText(o.Discovery.Lookup))
		for _, x := range o.Sessions {
			fmt.Fprintf(w, "  peer\t%s\t%s\n", x.PeerID, sessionText(x))
		}
		for _, p := range o.Parked {
			fmt.Fprintf(w, "  parked\t%s, until there is news\n", p)
		}
		for _, p := range o.Waiting {
			fmt.Fprintf(w, "  waiting\t%s, for a turn on its connection\n", p)
		}
		if o.Limits != nil {
			fmt.Fprintf(w, "  limits\tup %s, down %s, bytes %s, %s stored: see limit\n", rateText(o.Limits.Up, o.Limits.UpNow),
				rateText(o.Limits.Down, o.Limits.DownNow), limitText(o.Limits.Bytes, sizeText), sizeText(o.Limits.Stored))
		}
		for _, r := range o.Refused {
			fmt.Fprintf(w, "  refused\t%.8s of %s: %s\n", r.Feed, r.PeerID, r.Text)
		}
		for _, r := range o.RefusedBy {
			fmt.Fprintf(w, "  refused by\t%s: %.8s: %s (%s)\n", r.PeerID, r.Feed, r.Text, r.Code)
		}
		for _, t := range o.Tries {
			if t.Why != "" {
				fmt.Fprintf(w, "  tried\t%s, found by %s: %s\n", t.PeerID, t.Source, t.Why)
			}
		}
		for _, f := range o.Feeds {
			fmt.Fprintf(w, "  feed\t%s\twriter %s\t%s\n", f.Key, f.Writer, feedText(f))
		}
	}
}

// sessionText says what a peer and this node lack of each other, how fast that
// changes, and how long it takes.
func sessionText(x node.SessionStatus) string {
	if !x.Exchanged {
		return "compares feeds"
	}
	if x.TheyLack == 0 && x.WeLack == 0 {
		return "has all that is here, nothing missing here"
	}
	part := func(who string, lack, rate uint64, left float64) string {
		if lack == 0 {
			return who + " nothing"
		}
		text := fmt.Sprintf("%s %s, %s/s", who, node.Count(lack, "block", "blocks"), sizeText(rate))
		if left >= 0 {
			text += fmt.Sprintf(", %v left", time.Duration(left*float64(time.Second)).Round(time.Second))
		}
		return text
	}
	return part("lacks", x.TheyLack, x.Up, x.UpLeft) + "; this node lacks " + strings.TrimPrefix(part("", x.WeLack, x.Down, x.DownLeft), " ")
}

// feedText says how much of a feed is here.
func feedText(f node.FeedStatus) string {
	if f.Unusable != "" {
		return "damaged, run verify --repair: " + f.Unusable
	}
	text := fmt.Sprintf("%d of %s here, %s", f.Stored, node.Count(f.Length, "block", "blocks"), sizeText(f.Bytes))
	if f.Cleared > 0 {
		text += fmt.Sprintf(", %d cleared", f.Cleared)
	}
	if f.State != "" {
		text += ", " + f.State
	}
	if f.Retired {
		text += ", retired here"
	}
	if f.Full != "" {
		text += ", no more is taken in: " + f.Full
	}
	if f.Forked != "" {
		text += ", " + f.Forked
	}
	if f.Damaged > 0 {
		text += fmt.Sprintf(", %d damaged: run verify --repair", f.Damaged)
	}
	return text
}

func roundText(r node.RoundStatus) string {
	switch {
	case !r.On:
		return "off"
	case r.Error != "":
		return r.Error
	case r.Done == nil:
		return "not yet"
	}
	return r.Done.Local().Format(time.DateTime)
}

// sizeText returns bytes as a person reads them.
func sizeText(bytes uint64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	size, prefix := float64(bytes), -1
	for size >= unit && prefix < 5 {
		size /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTPE"[prefix])
}
