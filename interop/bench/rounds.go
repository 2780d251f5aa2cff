package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
)

// bench runs works.
type bench struct {
	programs
	warmups  int // rounds that don't count, before those that do
	rounds   int
	dir      string    // folders of runs are made below it
	progress io.Writer // a line for each run
}

// run does a work: the rounds to warm up, then those that count, in each of which
// every contender runs once. Every other round goes the other way round.
func (b *bench) run(ctx context.Context, w work) (report, error) {
	rep := report{Name: w.Name, Title: w.Title, Unit: w.Unit, Note: w.Note, LoadBefore: loadAverage()}
	stock, err := b.makeAll(ctx, w)
	defer stock.remove()
	if err != nil {
		return rep, fmt.Errorf("%s: %w", w.Name, err)
	}
	runs := make([][]result, len(w.Contenders))
	for round := 1 - b.warmups; round <= b.rounds; round++ {
		for i := range w.Contenders {
			if round%2 != 0 {
				i = len(w.Contenders) - 1 - i
			}
			c := w.Contenders[i]
			r, err := b.once(ctx, w, c, stock)
			if err != nil {
				return rep, fmt.Errorf("%s: %s: %w", w.Name, c.Name, err)
			}
			b.tell(w, c, round, r)
			if round > 0 {
				runs[i] = append(runs[i], r)
			}
		}
	}
	rep.LoadAfter = loadAverage()
	rep.Contenders = summarize(w, runs)
	return rep, nil
}

func (b *bench) tell(w work, c contender, round int, r result) {
	name := fmt.Sprintf("round %d of %d", round, b.rounds)
	if round <= 0 {
		name = "warm-up"
	}
	fmt.Fprintf(b.progress, "%s, %s: %s: %s\n", w.Name, name, c.Name, figure(w.Unit, w.Unit.of(c.Task, r)))
}

// once runs a contender once, in a folder of its own or in that which was made
// for it.
func (b *bench) once(ctx context.Context, w work, c contender, stock stock) (result, error) {
	t := c.Task
	if c.Make != nil {
		t.Dir = stock[origin{c.Peer, *c.Make}]
	} else {
		var err error
		if t.Dir, err = os.MkdirTemp(b.dir, "run"); err != nil {
			return result{}, err
		}
		defer os.RemoveAll(t.Dir)
	}
	if w.Cold {
		if err := dropCache(t.Dir); err != nil {
			return result{}, err
		}
	}
	settle()
	return b.programs.run(ctx, c.Peer, t)
}

// origin is how a folder that runs share was made.
type origin struct {
	peer string
	task task
}

// stock is the folders that runs share.
type stock map[origin]string

// makeAll makes the folders that the contenders of a work read. What it returns
// is to be removed, also after an error.
func (b *bench) makeAll(ctx context.Context, w work) (stock, error) {
	made := stock{}
	for _, c := range w.Contenders {
		if c.Make == nil || made[origin{c.Peer, *c.Make}] != "" {
			continue
		}
		dir, err := os.MkdirTemp(b.dir, "made")
		if err != nil {
			return made, err
		}
		made[origin{c.Peer, *c.Make}] = dir
		t := *c.Make
		t.Dir = dir
		r, err := b.programs.run(ctx, c.Peer, t)
		if err != nil {
			return made, fmt.Errorf("make what %s reads: %w", c.Name, err)
		}
		fmt.Fprintf(b.progress, "%s, made for %s: %d in %.1f s\n", w.Name, c.Name, r.Count, r.Seconds)
		if err := writeOrder(dir, c.Make.Blocks); err != nil {
			return made, err
		}
	}
	return made, nil
}

func (s stock) remove() {
	for _, dir := range s {
		os.RemoveAll(dir)
	}
}

// withoutPeers returns the work without contenders on npm, and what is said of
// them.
func (w work) withoutPeers() work {
	w.Note = ""
	w.Contenders = slices.DeleteFunc(slices.Clone(w.Contenders), func(c contender) bool { return c.Peer != "" })
	return w
}
