package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// runLimit is how long one contender may take in one round.
const runLimit = 10 * time.Minute

// bench runs works.
type bench struct {
	programs
	warmups  int // rounds that don't count, before those that do
	rounds   int
	dir      string    // folders of runs are made below it
	progress io.Writer // a line for each run
}

// run does a work: the rounds to warm up, then those that count, in each of which
// every contender runs once. Every other round goes the other way round. A
// contender that fails runs no more; the others go on. The error says what failed.
func (b *bench) run(ctx context.Context, w work) (report, error) {
	rep := report{Name: w.Name, Title: w.Title, Unit: w.Unit, Note: w.Note, LoadBefore: loadAverage()}
	stock, err := b.makeAll(ctx, w)
	defer stock.remove()
	if err != nil {
		return rep, fmt.Errorf("%s: %w", w.Name, err)
	}
	runs, failed := make([][]result, len(w.Contenders)), make([]error, len(w.Contenders))
	for round := 1 - b.warmups; round <= b.rounds; round++ {
		for i := range w.Contenders {
			if round%2 != 0 {
				i = len(w.Contenders) - 1 - i
			}
			c := w.Contenders[i]
			if failed[i] != nil || ctx.Err() != nil {
				continue
			}
			r, err := b.onceWithin(ctx, runLimit, w, c, stock)
			if err != nil {
				failed[i] = fmt.Errorf("%s: %s: %w", w.Name, c.Name, err)
				fmt.Fprintln(b.progress, failed[i])
				continue
			}
			b.tell(w, c, round, r)
			if round > 0 {
				runs[i] = append(runs[i], r)
			}
		}
	}
	rep.LoadAfter = loadAverage()
	rep.Contenders = summarize(w, runs)
	for i, err := range failed {
		if err != nil {
			rep.Contenders[i].Remarks = append(rep.Contenders[i].Remarks, err.Error())
		}
	}
	return rep, errors.Join(append(failed, ctx.Err())...)
}

// onceWithin is once with an end to it.
func (b *bench) onceWithin(ctx context.Context, limit time.Duration, w work, c contender, stock stock) (result, error) {
	soon, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := b.once(soon, w, c, stock)
	if err != nil && soon.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("not done within %v: %w", limit, err)
	}
	return r, err
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
	if c.Serve != nil {
		return b.scene(ctx, c, stock)
	}
	t := c.Task
	if c.Make != nil {
		t.Dir = stock[originOf(c.Peer, *c.Make)]
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

// stock is the folders that runs share, by how they were made.
type stock map[string]string

// originOf says how a peer makes a folder.
func originOf(peer string, maker task) string { return fmt.Sprintf("%s %+v", peer, maker) }

// makeAll makes the folders that the contenders of a work read. What it returns
// is to be removed, also after an error.
func (b *bench) makeAll(ctx context.Context, w work) (stock, error) {
	made := stock{}
	for _, c := range w.Contenders {
		for _, maker := range []*task{c.Make, c.Start} {
			if maker == nil || made[originOf(c.Peer, *maker)] != "" {
				continue
			}
			if err := b.make(ctx, w, c, *maker, made); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// make makes one of these folders.
func (b *bench) make(ctx context.Context, w work, c contender, maker task, made stock) error {
	dir, err := os.MkdirTemp(b.dir, "made")
	if err != nil {
		return err
	}
	made[originOf(c.Peer, maker)] = dir
	t := maker
	t.Dir = dir
	r, err := b.programs.run(ctx, c.Peer, t)
	if err != nil {
		return fmt.Errorf("make what %s begins with: %w", c.Name, err)
	}
	fmt.Fprintf(b.progress, "%s, made for %s: %d in %.1f s\n", w.Name, c.Name, r.Count, r.Seconds)
	if c.Serve != nil {
		return nil
	}
	return writeOrder(dir, maker.Blocks)
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
