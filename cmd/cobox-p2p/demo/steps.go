package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

const (
	// stall is how long a step may go without any progress.
	stall = 2 * time.Minute
	// look is the time between two looks at a daemon's status.
	look = 100 * time.Millisecond
	// writerName is the feed that the folder is stored in, blockSize its blocks.
	writerName = "demo"
	blockSize  = 256 << 10
	// maxDifferences is how many differences are named.
	maxDifferences = 5
)

// steps is the story. Each step tells how many bytes it moved and what happened.
func (d *demo) steps(ctx context.Context) error {
	for _, s := range []struct {
		what  string
		total func() int64 // bytes that the step will move, nil for none
		do    func(context.Context) (bytes int64, detail string, err error)
	}{
		{"look", nil, d.look},
		{"bootstrap", nil, func(ctx context.Context) (n int64, detail string, err error) {
			d.bootstrap, err = d.start(ctx, "bootstrap", nil)
			return 0, "a DHT node that holds no space", err
		}},
		{"store", func() int64 { return d.total }, d.store},
		{"seed", d.storedBytes, d.seed},
		{"kill", nil, func(context.Context) (int64, string, error) {
			d.writer.kill()
			d.note(d.writer, "killed")
			return 0, "the writer is gone", nil
		}},
		{"ask", nil, d.ask},
		{"restore", d.storedBytes, d.restore},
		{"search", nil, d.search},
	} {
		total := int64(0)
		if s.total != nil {
			total = s.total()
		}
		if err := d.report.step(d.progress, s.what, total, func() (int64, string, error) { return s.do(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) storedBytes() int64 { return int64(d.stored.Bytes) }

// look counts the input.
func (d *demo) look(ctx context.Context) (int64, string, error) {
	files, bytes, err := d.source.measure(ctx)
	d.total = bytes
	return 0, fmt.Sprintf("%s, %d bytes in %s", node.Count(files, "file", "files"), bytes, d.Path), err
}

// store appends the input to a new space at the writer.
func (d *demo) store(ctx context.Context) (n int64, detail string, err error) {
	if d.writer, err = d.start(ctx, "writer", d.bootstrap); err != nil {
		return 0, "", err
	}
	if d.space, err = d.writer.client.Create(ctx, "demo", false); err != nil {
		return 0, "", err
	}
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := d.source.writeTar(ctx, out, d.progress.add)
		out.CloseWithError(err) // nil is the end of the stream
		written <- err
	}()
	d.stored, err = d.writer.client.Append(ctx, d.space.Name, writerName, blockSize, in)
	in.CloseWithError(errors.New("the writer took no more"))
	if reading := <-written; err == nil {
		err = reading
	}
	d.count()
	return d.report.Bytes, fmt.Sprintf("%d bytes as %s of one feed", d.stored.Bytes, node.Count(d.stored.Blocks, "encrypted block", "encrypted blocks")), err
}

// count notes in the report what was stored.
func (d *demo) count() {
	r := d.report
	for _, i := range d.source.items {
		switch i.Type {
		case 'f':
			r.Files++
			r.Bytes += i.Size
		case 'd':
			r.Folders++
		case 'l':
			r.Links++
		}
	}
	r.Skipped = append(r.Skipped, d.source.skipped...)
	r.Stored = Digest(d.source.items)
}

// seed lets a seeder that knows only the address copy the space, and waits until
// it has everything, says so, and can be found.
func (d *demo) seed(ctx context.Context) (n int64, detail string, err error) {
	if d.seeder, err = d.start(ctx, "seeder", d.bootstrap); err != nil {
		return 0, "", err
	}
	if _, err := d.seeder.client.Seed(ctx, d.space.Address, d.space.Name); err != nil {
		return 0, "", err
	}
	had := uint64(0)
	err = d.await(ctx, d.seeder, func(s node.SpaceStatus) (uint64, bool) {
		for _, f := range s.Feeds {
			d.progress.add(int(f.Bytes - had))
			had = f.Bytes
			return f.Stored, f.Stored == d.stored.Blocks && s.Discovery.Announce.Done != nil
		}
		return 0, false
	})
	if err != nil {
		return 0, "", err
	}
	y, err := d.writer.client.Sync(ctx, d.space.Name, stall, false)
	if err == nil && !y.Synced {
		err = errors.New("the seeder did not tell the writer that it has everything")
	}
	return d.storedBytes(), "a seeder that knows only the address found the writer and has every block", err
}

// search looks for pieces of the input in the folder of the seeder, once it has
// ended. What the folder of a node without any space holds too is not from the
// input.
func (d *demo) search(ctx context.Context) (int64, string, error) {
	for _, p := range []*daemon{d.reader, d.seeder, d.bootstrap} {
		if err := p.stop(); err != nil {
			return 0, "", err
		}
		d.note(p, "ended")
	}
	all := d.source.samples.all()
	f := newFinder(all)
	common, _, err := f.scan(ctx, d.bootstrap.dir)
	if err != nil {
		return 0, "", err
	}
	found, bytes, err := f.scan(ctx, d.seeder.dir)
	if err != nil {
		return 0, "", err
	}
	for i, file := range found {
		if _, ok := common[i]; !ok {
			d.report.Plaintext = append(d.report.Plaintext, fmt.Sprintf("%q in %s", all[i], filepath.Base(file)))
		}
	}
	d.report.Searched = len(all) - len(common)
	if n := len(d.report.Plaintext); n > 0 {
		return bytes, "", fmt.Errorf("the seeder's folder holds plaintext: %d of %d samples", n, d.report.Searched)
	}
	return bytes, fmt.Sprintf("none of %d pieces of the input is in the %d bytes of the seeder's folder", d.report.Searched, bytes), nil
}
