package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
)

// waitHint is how long a read waits for its first byte before the person is told
// what it waits for.
const waitHint = 5 * time.Second

func (c *cli) readCommand() *cobra.Command {
	var r api.ReadRequest
	cmd := &cobra.Command{
		Use:   "read SPACE [FEED] [--follow] [--offline] [--timeout DURATION]",
		Short: "Write a feed to standard output, byte for byte",
		Long: "Writes what was appended to a feed to standard output. FEED is a key, its beginning, or a writer's name as status shows it;\n" +
			"it can be left out when the space has only one feed with blocks. It first waits for a peer to tell which feeds the space has.\n" +
			"With --json the object goes to standard error.",
		Args: takes(1, "SPACE", "FEED"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkTimeout(r.Timeout); err != nil {
				return err
			}
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
		return errors.Join(s.printJSON(struct {
			Bytes int64 `json:"bytes"`
			failure
		}{n, c.failure(err)}), err)
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
