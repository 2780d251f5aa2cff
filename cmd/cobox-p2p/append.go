package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (c *cli) appendCommand() *cobra.Command {
	var writer string
	var size int
	cmd := &cobra.Command{
		Use:   "append SPACE [--writer NAME] [--block-size BYTES]",
		Short: "Append standard input to a feed of this node",
		Long: "Cuts standard input into blocks and appends them to this node's feed of that name, which is made when it isn't there.\n" +
			"When it ends, everything is durable on this node.",
		Args: takes(1, "SPACE"),
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

// interrupted says in words that a signal ended it.
func interrupted(err error, what string) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: %s", what)
	}
	return err
}
