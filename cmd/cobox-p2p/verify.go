package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// What a person does about damage that was found, or that is left.
const (
	damagedAdvice = "what is stored is damaged: run verify --repair, which mends what it can here and fetches the rest from peers"
	leftAdvice    = "not everything is mended: missing blocks come as soon as a node that holds them is connected, which sync waits for; " +
		"for a feed that stays damaged see docs/cli.md, \"A damaged store\""
)

func (c *cli) verifyCommand() *cobra.Command {
	var o node.VerifyOptions
	cmd := &cobra.Command{
		Use:   "verify [SPACE] [--repair] [--timeout DURATION]",
		Short: "Hash everything that is stored again and check it",
		Long: "Hashes everything that is stored again, follows it to the signed heads and names what is damaged.\n" +
			"With --repair it writes anew what follows from the rest, removes damaged blocks, fetches them from peers and waits until they are here.",
		Args: takes(0, "SPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkTimeout(o.Timeout); err != nil {
				return err
			}
			o.Space = optional(args, 0)
			return c.client(func(client *api.Client) error {
				v, err := client.Verify(cmd.Context(), o)
				if err != nil {
					return interrupted(err, "not everything was verified")
				}
				switch {
				case v.OK:
				case o.Repair:
					err = errors.New(leftAdvice)
				default:
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
	cmd.Flags().BoolVar(&o.Repair, "repair", false, "mend what is damaged, with the help of peers")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 0, "with --repair, give up after `so long` (default never)")
	return cmd
}

func printVerified(w io.Writer, v node.Verified) {
	if v.Rebuilt != "" {
		fmt.Fprintf(w, "store\t%s\n", v.Rebuilt)
	}
	if v.Old != "" {
		fmt.Fprintf(w, "store\tthe old index is kept in the store's folder %s; remove it when nothing is missing\n", v.Old)
	}
	for _, s := range v.Spaces {
		if s.Error != "" {
			fmt.Fprintf(w, "space %s\t%s\n", s.Name, s.Error)
		}
		for _, f := range s.Feeds {
			fmt.Fprintf(w, "space %s\tfeed %s\twriter %s\t%s\t%s\n", s.Name, f.Key, f.Writer, node.Count(f.Blocks, "block", "blocks"), stateText(f))
			if f.Repair != nil {
				fmt.Fprintf(w, "space %s\tfeed %s\trepair\t%s\n", s.Name, f.Key, repairText(*f.Repair))
			}
		}
	}
	fmt.Fprintf(w, "%s hashed\n", node.Count(v.Blocks, "block", "blocks"))
}

// stateText says what was found damaged.
func stateText(f node.VerifiedFeed) string {
	var found []string
	if f.Head != "" {
		found = append(found, f.Head)
	}
	if f.Damaged > 0 {
		found = append(found, node.Count(f.Damaged, "block", "blocks")+" DAMAGED: "+spansText(f.Spans, f.Damaged))
	}
	if f.Nodes > 0 {
		found = append(found, node.Count(f.Nodes, "tree node", "tree nodes")+" DAMAGED that follow from the blocks")
	}
	if len(found) == 0 {
		return "ok"
	}
	return strings.Join(found, "; ")
}

// repairText says what came of a repair.
func repairText(r node.Fixed) string {
	var done []string
	if r.Head {
		done = append(done, "head written anew")
	}
	if r.Dropped {
		done = append(done, "nothing here could be used")
	}
	if r.Nodes > 0 {
		done = append(done, node.Count(r.Nodes, "tree node", "tree nodes")+" written anew")
	}
	if r.Fetched > 0 {
		done = append(done, node.Count(r.Fetched, "block", "blocks")+" fetched")
	}
	if r.Missing > 0 {
		from := "no connected peer told that it holds them: see status"
		if len(r.Peers) > 0 {
			from = "to come from " + strings.Join(r.Peers, ", ")
		}
		done = append(done, fmt.Sprintf("%s MISSING: %s, %s", node.Count(r.Missing, "block", "blocks"), spansText(r.Spans, r.Missing), from))
	}
	if r.Error != "" {
		done = append(done, r.Error)
	}
	return strings.Join(done, "; ")
}

// spansText names spans of blocks, of which there are count blocks in all.
func spansText(spans []node.Span, count uint64) string {
	var b strings.Builder
	named := uint64(0)
	for i, s := range spans {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, s.Start)
		if s.Count > 1 {
			fmt.Fprintf(&b, "-%d", s.Start+s.Count-1)
		}
		named += s.Count
	}
	if named < count {
		b.WriteString(", ...")
	}
	return b.String()
}
