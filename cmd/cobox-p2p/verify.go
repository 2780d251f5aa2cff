package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// damagedAdvice says what mends a damaged store. The new store makes the node
// write new feeds, so that no second history of the old ones comes of it.
const damagedAdvice = "what is stored is damaged: stop the daemon, move the folder store aside and start it again; " +
	"feeds come back from peers as far as these hold them, this node's own ones read-only, and it writes new ones"

func (c *cli) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [SPACE]",
		Short: "Hash everything that is stored again and check it",
		Args:  takes(0, "SPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				v, err := client.Verify(cmd.Context(), optional(args, 0))
				if err != nil {
					return interrupted(err, "not everything was verified")
				}
				if !v.OK {
					err = errors.New(damagedAdvice)
				}
				answer := struct {
					node.Verified
					failure
				}{v, c.failure(err)}
				return errors.Join(c.print(answer, func(w io.Writer) { printVerified(w, v) }), err)
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
				state = fmt.Sprintf("%s DAMAGED: %v", node.Count(f.Damaged, "block", "blocks"), f.First)
			}
			fmt.Fprintf(w, "space %s\tfeed %s\twriter %s\t%s\t%s\n", s.Name, f.Key, f.Writer, node.Count(f.Blocks, "block", "blocks"), cmp.Or(f.Head, state))
		}
	}
	fmt.Fprintf(w, "%s hashed\n", node.Count(v.Blocks, "block", "blocks"))
}
