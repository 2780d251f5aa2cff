package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (c *cli) blockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "block",
		Short: "Block feeds and peers, for good and whoever passes them on",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &node.UseError{Message: "block: say what to do, one of feed, peer and list"}
		},
	}
	cmd.AddCommand(
		c.blockOne(node.BlockFeed, "KEY", "Take in and serve nothing more of a feed",
			"Takes in nothing more of the feed with that key, whoever offers it, and serves nothing of it. What is stored stays and can be read."),
		c.blockOne(node.BlockPeer, "PEERID", "Have nothing to do with a peer",
			"Ends the connections with the peer and refuses new ones. What it announces is ignored, whoever passes it on. Its feeds are not blocked."),
		&cobra.Command{
			Use:   "list",
			Short: "List what is blocked",
			Args:  takes(0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return c.client(func(client *api.Client) error {
					b, err := client.Blocked(cmd.Context())
					return c.printBlocked(b, err)
				})
			},
		})
	return cmd
}

func (c *cli) blockOne(kind, name, short, long string) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   kind + " " + name + " [--remove]",
		Short: short,
		Long:  long + "\nWith --remove it isn't blocked any more.",
		Args:  takes(1, name),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				b, err := client.Block(cmd.Context(), kind, args[0], !remove)
				return c.printBlocked(b, err)
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "block it no more")
	return cmd
}

func (c *cli) printBlocked(b node.Blocked, err error) error {
	if err != nil {
		return err
	}
	return c.print(b, func(w io.Writer) {
		for _, f := range b.Feeds {
			fmt.Fprintf(w, "feed\t%s\n", f)
		}
		for _, p := range b.Peers {
			fmt.Fprintf(w, "peer\t%s\n", p)
		}
		if len(b.Feeds)+len(b.Peers) == 0 {
			fmt.Fprintln(w, "nothing is blocked")
		}
	})
}
