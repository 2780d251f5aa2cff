package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// waitHint is how long a read waits for its first byte before the person is told
// what it waits for.
const waitHint = 5 * time.Second

func (c *cli) appendCommand() *cobra.Command {
	var writer string
	var size int
	cmd := &cobra.Command{
		Use:   "append SPACE [--writer NAME] [--block-size BYTES]",
		Short: "Append standard input to a feed of this node",
		Long: "Cuts standard input into blocks and appends them to this node's feed of that name, which is made when it isn't there.\n" +
			"When it ends, everything is durable on this node.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				a, err := client.Append(cmd.Context(), args[0], writer, size, c.in)
				if err != nil {
					return interrupted(err, "what was sent before may be durable: see status")
				}
				return c.print(a, func(w io.Writer) {
					fmt.Fprintf(w, "feed\t%s\nwriter\t%s\nfirst block\t%d\nblocks\t%d\nbytes\t%d\n", a.Feed, a.Writer, a.FirstBlock, a.Blocks, a.Bytes)
				})
			})
		},
	}
	cmd.Flags().StringVar(&writer, "writer", node.DefaultWriter, "`name` of the feed among this node's feeds in the space")
	cmd.Flags().IntVar(&size, "block-size", node.DefaultBlockSize, fmt.Sprintf("`bytes` of a block, at most %d", node.MaxBlockSize))
	return cmd
}

func (c *cli) readCommand() *cobra.Command {
	var r api.ReadRequest
	cmd := &cobra.Command{
		Use:   "read SPACE [FEED] [--follow] [--offline] [--timeout DURATION]",
		Short: "Write a feed to standard output, byte for byte",
		Long: "Writes what was appended to a feed to standard output. FEED is a key, its beginning, or a writer's name as status shows it;\n" +
			"it can be left out when the space has only one feed with blocks. It first waits for a peer to tell which feeds the space has.\n" +
			"With --json the object goes to standard error.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Space, r.Feed = args[0], optional(args, 1)
			return c.client(func(client *api.Client) error { return c.read(cmd.Context(), client, r) })
		},
	}
	cmd.Flags().BoolVar(&r.Follow, "follow", false, "go on with blocks to come, until interrupted")
	cmd.Flags().BoolVar(&r.Offline, "offline", false, "read what is stored here and wait for no peer")
	cmd.Flags().DurationVar(&r.Timeout, "timeout", 0, "give up after `so long` without a peer or the next block (default never)")
	return cmd
}

func (c *cli) read(ctx context.Context, client *api.Client, r api.ReadRequest) error {
	out := &firstByte{w: c.out}
	hint := time.AfterFunc(waitHint, func() {
		if !r.Offline {
			c.warn("waiting for a peer of space %s: see status for what is tried; --offline reads what is stored here", r.Space)
		}
	})
	out.first = func() { hint.Stop() }
	defer hint.Stop()
	n, err := client.Read(ctx, r, out)
	if r.Follow && ctx.Err() != nil {
		err = nil // that is how following ends
	}
	if c.json {
		c.told = true
		s := *c
		s.out = c.err
		if err != nil {
			return errors.Join(s.printJSON(struct {
				Bytes int64      `json:"bytes"`
				Error *api.Error `json:"error"`
			}{n, apiError(err, c.exitCode(err))}), err)
		}
		return s.printJSON(struct {
			Bytes int64 `json:"bytes"`
		}{n})
	}
	return interrupted(err, fmt.Sprintf("%d bytes were read", n))
}

// firstByte tells of the first write.
type firstByte struct {
	w     io.Writer
	once  sync.Once
	first func()
}

func (f *firstByte) Write(b []byte) (int, error) {
	f.once.Do(f.first)
	return f.w.Write(b)
}

// interrupted says in words that a signal ended it.
func interrupted(err error, what string) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: %s", what)
	}
	return err
}

func (c *cli) syncCommand() *cobra.Command {
	var timeout time.Duration
	var offline bool
	cmd := &cobra.Command{
		Use:   "sync SPACE [--timeout DURATION] [--offline]",
		Short: "Wait until a space is complete here and at one peer",
		Long: "Waits until everything that is known of a space is durable here, and everything here is durable at one peer, by that peer's word.\n" +
			"With --offline it only says whether something known is missing here.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				s, err := client.Sync(cmd.Context(), args[0], timeout, offline)
				if err != nil {
					return interrupted(err, "space "+args[0]+" is not synced yet")
				}
				if err := c.print(s, func(w io.Writer) { printSynced(w, s, offline) }); err != nil || s.Synced {
					return err
				}
				return fmt.Errorf("space %s is not synced", s.Space)
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
		fmt.Fprintf(w, "space %s: synced, %d peers\n", s.Space, s.Peers)
		return
	case !s.Exchanged && !offline:
		fmt.Fprintf(w, "space %s: no peer has answered since the daemon started: see status\n", s.Space)
	case s.Peers == 0 && !offline:
		fmt.Fprintf(w, "space %s: no peer is connected now: see status\n", s.Space)
	}
	for _, l := range s.Missing {
		fmt.Fprintf(w, "missing here\t%s\twriter %s\t%d blocks\n", l.Feed, l.Writer, l.Blocks)
	}
	for _, l := range s.Unshared {
		fmt.Fprintf(w, "only here\t%s\twriter %s\t%d blocks\n", l.Feed, l.Writer, l.Blocks)
	}
}

func (c *cli) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [SPACE]",
		Short: "Hash everything that is stored again and check it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				v, err := client.Verify(cmd.Context(), optional(args, 0))
				if err != nil {
					return interrupted(err, "not everything was verified")
				}
				if err := c.print(v, func(w io.Writer) { printVerified(w, v) }); err != nil || v.OK {
					return err
				}
				return errors.New("what is stored is damaged: move the store aside and fetch the damaged feeds again from a peer")
			})
		},
	}
}

func printVerified(w io.Writer, v node.Verified) {
	for _, s := range v.Spaces {
		if s.Error != "" {
			fmt.Fprintf(w, "space %s\t%s\n", s.Name, s.Error)
		}
		for _, f := range s.Feeds {
			state := "ok"
			if f.Damaged > 0 {
				state = fmt.Sprintf("%d blocks DAMAGED: %v", f.Damaged, f.First)
			}
			fmt.Fprintf(w, "space %s\tfeed %s\twriter %s\t%d blocks\t%s\n", s.Name, f.Key, f.Writer, f.Blocks, cmp.Or(f.Head, state))
		}
	}
	fmt.Fprintf(w, "%d blocks hashed\n", v.Blocks)
}

// isSecret says whether the text form is a member's.
func isSecret(text string) bool {
	a, err := multifeed.ParseAccess(text)
	return err == nil && a.EncryptionKey != nil
}
