package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// How a stream of bytes is cut into blocks.
const (
	DefaultWriter    = "default"
	DefaultBlockSize = 64 << 10                                    // bytes
	MaxBlockSize     = hypercore.MaxBlock - hypercore.SealOverhead // bytes
	// appendBatch is how many bytes are appended at once, under one signature and
	// one sync. A single larger block goes alone.
	appendBatch = 4 << 20
	// flushAfter is how long bytes wait for their block to be full; then what is
	// there becomes a shorter block.
	flushAfter = 300 * time.Millisecond
	appendRead = 256 << 10 // bytes read from the input at once
)

// Appended is what became durable of an append.
type Appended struct {
	Space      string `json:"space"`
	Feed       string `json:"feed"` // key
	Writer     string `json:"writer"`
	FirstBlock uint64 `json:"firstBlock"` // number of the first block appended
	Blocks     uint64 `json:"blocks"`
	Bytes      uint64 `json:"bytes"` // of the input
}

// AppendError says that an append failed and what of it is durable all the same.
type AppendError struct {
	Appended
	Err error
}

func (e *AppendError) Error() string {
	if e.Blocks == 0 {
		return fmt.Sprintf("append to space %s, writer %s: %v; nothing was appended", e.Space, e.Writer, e.Err)
	}
	return fmt.Sprintf("append to space %s, writer %s: %v; the first %d bytes are durable, as blocks %d to %d of feed %s",
		e.Space, e.Writer, e.Err, e.Bytes, e.FirstBlock, e.FirstBlock+e.Blocks-1, e.Feed)
}

// Unwrap returns Err.
func (e *AppendError) Unwrap() error { return e.Err }

// Append cuts r into blocks of blockSize bytes and appends them to the writer's
// feed, until r ends. When it returns nil everything is durable; else it returns
// a *UseError, or an *AppendError for a failure on the way. It needs memory for
// about two batches. When it gives up before r ends, or ctx does, it calls
// interrupt, which must make a Read of r that waits return.
func (n *Node) Append(ctx context.Context, name, writer string, blockSize int, r io.Reader, interrupt func()) (Appended, error) {
	s, err := n.findUsable(name)
	if err != nil {
		return Appended{}, err
	}
	if blockSize < 1 || blockSize > MaxBlockSize {
		return Appended{}, useErrorf("blocks have 1 to %d bytes, not %d", MaxBlockSize, blockSize)
	}
	f, err := s.writer(writer)
	switch {
	case isUse(err):
		return Appended{}, err
	case errors.Is(err, multifeed.ErrNoKey):
		return Appended{}, useErrorf("space %s is only seeded here, without its key: nothing can be written to it", s.entry.Name)
	case errors.Is(err, multifeed.ErrName):
		return Appended{}, &UseError{err.Error()}
	case err != nil:
		return Appended{}, fmt.Errorf("space %s, writer %s: %w", s.entry.Name, writer, err)
	}
	end, err := s.handed.beginAppend(f.Key())
	if err != nil {
		return Appended{}, fmt.Errorf("space %s, writer %s: %w", s.entry.Name, writer, err)
	}
	defer end()
	a := appending{feed: f, blockSize: blockSize, done: Appended{
		Space: s.entry.Name, Feed: f.Key().String(), Writer: s.name(f), FirstBlock: f.Length(),
	}}
	during, stop := s.during(ctx)
	defer stop()
	if err := s.why(during, a.copy(during, r, interrupt)); err != nil {
		return a.done, &AppendError{a.done, err}
	}
	return a.done, nil
}

// appending is one append on its way.
type appending struct {
	feed      *multifeed.Feed
	blockSize int
	waiting   []byte // read and not appended
	done      Appended
}

// chunk is what one Read returned.
type chunk struct {
	bytes []byte
	err   error
}

// copy appends what r yields, in batches, and what waits longer than flushAfter.
func (a *appending) copy(ctx context.Context, r io.Reader, interrupt func()) (err error) {
	ctx, stop := context.WithCancel(ctx)
	chunks, free := make(chan chunk), make(chan []byte, 1)
	ended := make(chan struct{})
	go func() { defer close(ended); readChunks(ctx, r, chunks, free) }()
	defer func() {
		stop()
		if err != nil {
			interrupt()
		}
		<-ended
	}()

	pause := time.NewTimer(flushAfter)
	defer pause.Stop()
	free <- make([]byte, appendRead)
	for {
		select {
		case c := <-chunks:
			appended, fresh := a.done.Blocks, len(a.waiting) == 0
			a.waiting = append(a.waiting, c.bytes...)
			if err := a.flush(ctx, errors.Is(c.err, io.EOF)); err != nil {
				return err
			}
			if fresh || a.done.Blocks > appended {
				pause.Reset(flushAfter)
			}
			if c.err != nil {
				if errors.Is(c.err, io.EOF) {
					return nil
				}
				return errors.Join(fmt.Errorf("the input broke off: %w", c.err), a.flush(ctx, true))
			}
			free <- c.bytes[:cap(c.bytes)]
		case <-pause.C:
			if err := a.flush(ctx, true); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readChunks reads r into the buffers that come from free.
func readChunks(ctx context.Context, r io.Reader, chunks chan<- chunk, free <-chan []byte) {
	for {
		select {
		case buf := <-free:
			n, err := r.Read(buf[:appendRead])
			select {
			case chunks <- chunk{buf[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// flush appends what waits once it fills a batch, or all of it.
func (a *appending) flush(ctx context.Context, all bool) error {
	full := max(appendBatch/a.blockSize, 1) * a.blockSize // bytes of a full batch
	for len(a.waiting) >= full || all && len(a.waiting) > 0 {
		batch := a.waiting[:min(full, len(a.waiting))]
		var blocks [][]byte
		for rest := batch; len(rest) > 0; {
			n := min(a.blockSize, len(rest))
			blocks = append(blocks, rest[:n])
			rest = rest[n:]
		}
		first, err := a.feed.Append(ctx, blocks...)
		if err != nil {
			return err
		}
		if a.done.Blocks == 0 {
			a.done.FirstBlock = first
		}
		a.done.Blocks += uint64(len(blocks))
		a.done.Bytes += uint64(len(batch))
		a.waiting = a.waiting[:copy(a.waiting, a.waiting[len(batch):])]
	}
	return nil
}
