package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// printImported prints what an import brought. What it had to leave out is an
// error.
func (c *cli) printImported(i node.Imported) error {
	var err error
	if !i.Complete {
		err = errors.New("not all of the old store could be imported: what verifies is here; peers may have the rest, which sync fetches")
	}
	answer := struct {
		node.Imported
		failure
	}{i, c.failure(err)}
	return errors.Join(c.print(answer, func(w io.Writer) {
		joined := ""
		if i.Joined {
			joined = ", joined"
		}
		fmt.Fprintf(w, "space %s (%s%s): %s of the old store\n", i.Space, i.Mode, joined, node.Count(len(i.Feeds), "feed", "feeds"))
		for _, f := range i.Feeds {
			fmt.Fprintf(w, "feed %s\twriter %q\t%s imported, %s, %d here before\t%s\n",
				f.Feed, f.Writer, node.Count(f.Blocks, "block", "blocks"), sizeText(f.Bytes), f.Present, f.Note)
			printDamage(w, f.Error, f.Lost, f.Damage, f.More)
		}
		for _, key := range i.Absent {
			fmt.Fprintf(w, "feed %s\tis named by the old store and not in it: peers are asked for it\n", key)
		}
		for _, d := range i.Damage {
			fmt.Fprintf(w, "list of feeds DAMAGED, it may have named more: %s\n", d)
		}
		printNames(w, "in no space of the store: feed with the discovery key %s\n", i.Others, i.MoreOthers)
		printNames(w, "no part of a store: %q\n", i.Strangers, i.MoreStranger)
	}), err)
}

func printNames(w io.Writer, format string, names []string, more int) {
	for _, name := range names {
		fmt.Fprintf(w, format, name)
	}
	if more > 0 {
		fmt.Fprintf(w, format, fmt.Sprintf("and %d more", more))
	}
}

func printDamage(w io.Writer, failed string, lost uint64, damage []node.LegacyDamage, more int) {
	if failed != "" {
		fmt.Fprintf(w, "  FAILED: %s\n", failed)
	}
	if lost > 0 {
		fmt.Fprintf(w, "  %s left out\n", node.Count(lost, "block", "blocks"))
	}
	for _, d := range damage {
		fmt.Fprintf(w, "  DAMAGED %s\n", d)
	}
	if more > 0 {
		fmt.Fprintf(w, "  and %d damages more\n", more)
	}
}

// printExported prints what an export made. What it had to leave out is an error.
func (c *cli) printExported(e node.Exported) error {
	var err error
	for _, f := range e.Feeds {
		if f.Error != "" || len(f.Damage) > 0 {
			err = fmt.Errorf("what is stored of space %s is damaged: the rest was exported; verify --repair mends it", e.Space)
		}
	}
	answer := struct {
		node.Exported
		failure
	}{e, c.failure(err)}
	return errors.Join(c.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "space %s: %s of %s, %s, in %s\n", e.Space, node.Count(e.Blocks, "block", "blocks"), node.Count(len(e.Feeds), "feed", "feeds"), sizeText(e.Bytes), e.Dir)
		for _, f := range e.Feeds {
			note := f.Note
			if f.Keys {
				note = "given away with its keys"
			}
			fmt.Fprintf(w, "feed %s\twriter %s\t%s\t%s\n", f.Feed, f.Writer, node.Count(f.Blocks, "block", "blocks"), note)
			printDamage(w, f.Error, 0, f.Damage, f.More)
		}
	}), err)
}
