package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (c *cli) syncCommand() *cobra.Command {
	var timeout time.Duration
	var offline bool
	cmd := &cobra.Command{
		Use:   "sync SPACE [--timeout DURATION] [--offline]",
		Short: "Wait until a space is complete here and at one peer",
		Long: "Waits until everything that is known of a space is durable here, and everything here is durable at one peer, by that peer's word.\n" +
			"With --offline it only says whether something known is missing here.",
		Args: takes(1, "SPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkTimeout(timeout); err != nil {
				return err
			}
			return c.client(func(client *api.Client) error {
				s, err := client.Sync(cmd.Context(), args[0], timeout, offline)
				if err != nil {
					return interrupted(err, "space "+args[0]+" is not synced yet")
				}
				if !s.Synced {
					err = fmt.Errorf("space %s is not synced", s.Space)
				}
				answer := struct {
					node.Synced
					failure
				}{s, c.failure(err)}
				return errors.Join(c.print(answer, func(w io.Writer) { printSynced(w, s, offline) }), err)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after `so long` (default never)")
	cmd.Flags().BoolVar(&offline, "offline", false, "wait for no peer")
	return cmd
}

func printSynced(w io.Writer, s node.Synced, offline bool) {
	switch {
	case s.Synced && offline:
		fmt.Fprintf(w, "space %s: everything known is here\n", s.Space)
		return
	case s.Synced:
		fmt.Fprintf(w, "space %s: synced, %s\n", s.Space, node.Count(s.Peers, "peer", "peers"))
		return
	case !s.Exchanged && !offline:
		fmt.Fprintf(w, "space %s: no peer has answered since the daemon started: see status\n", s.Space)
	case s.Peers == 0 && !offline:
		fmt.Fprintf(w, "space %s: no peer is connected now: see status\n", s.Space)
	}
	for _, l := range s.Missing {
		fmt.Fprintf(w, "missing here\t%s\twriter %s\t%s\n", l.Feed, l.Writer, node.Count(l.Blocks, "block", "blocks"))
	}
	for _, l := range s.Unshared {
		fmt.Fprintf(w, "only here\t%s\twriter %s\t%s\n", l.Feed, l.Writer, node.Count(l.Blocks, "block", "blocks"))
	}
}
