package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// plainName is the file that the plain contenders write and read.
const plainName = "plain"

// behindBytes is how much is written before a plain file with write-behind lets
// go of it.
const behindBytes = 8 << 20

// plainAppend writes blocks one after the other to a file, with as many syncs as
// the task says and one at the end.
func plainAppend(ctx context.Context, t task, m *meter) error {
	pool := newPool(t)
	f, err := os.Create(filepath.Join(t.Dir, plainName))
	if err != nil {
		return err
	}
	defer f.Close()
	b := behind{f: f, on: t.Behind, ranges: make(chan [2]int64, 1), ended: make(chan error, 1)}
	go b.run()
	m.start()
	err = writePlain(ctx, t, f, &b, pool)
	close(b.ranges)
	if behindErr := <-b.ended; err == nil {
		err = behindErr
	}
	if err == nil {
		err = dataSync(f)
	}
	if err != nil {
		return err
	}
	return m.stop(t.Blocks, nil)
}

func writePlain(ctx context.Context, t task, f *os.File, b *behind, pool [][]byte) error {
	size := int64(0)
	for i := range t.Blocks {
		n, err := f.Write(pool[i%len(pool)])
		if err != nil {
			return err
		}
		size += int64(n)
		b.wrote(size)
		if t.Sync > 0 && (i+1)%t.Sync == 0 {
			if err := dataSync(f); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// behind writes out what was written, beside the writer.
type behind struct {
	f      *os.File
	on     bool
	given  int64 // bytes handed to run
	ranges chan [2]int64
	ended  chan error
}

// wrote says how long the file is now.
func (b *behind) wrote(size int64) {
	if b.on && size-b.given >= behindBytes {
		b.ranges <- [2]int64{b.given, size - b.given}
		b.given = size
	}
}

// run ends when ranges is closed.
func (b *behind) run() {
	var first error
	for r := range b.ranges {
		if err := writeBehind(b.f, r[0], r[1]); err != nil && first == nil {
			first = err
		}
	}
	b.ended <- first
}

// plainRead reads blocks from the places of a plain file.
func plainRead(ctx context.Context, t task, m *meter) error {
	order, err := readOrder(t.Dir)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(t.Dir, plainName))
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, t.Size)
	read := func(seq int) error {
		if t.Fresh {
			buf = make([]byte, t.Size)
		}
		n, err := f.ReadAt(buf, int64(seq)*int64(t.Size))
		if err != nil {
			return fmt.Errorf("block %d: %d bytes: %w", seq, n, err)
		}
		return ctx.Err()
	}
	return readAll(t, m, order, read)
}
