package multifeed

import (
	"sync"
	"time"
)

// deadlines sets those of one stream, so that what ends a session is never
// overtaken by the deadline of one more read or write.
type deadlines struct {
	stream Stream
	passed func(n int) // told of bytes that were read, and may take its time; nil or set before the first Read that it is to see

	mu      sync.Mutex    // guards all below, and is held over the setting
	silence time.Duration // longest wait of one Read; 0: any
	last    bool          // the deadline of reads stays as it is
	ended   bool          // so does that of writes
	parts   int           // reads since the last frame was whole
	partly  time.Time     // of the last read that wasn't the first of a frame
}

// listen sets how long a Read may wait from now on, 0 for any time.
func (d *deadlines) listen(silence time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silence = silence
}

// Read implements io.Reader. It reads from the stream.
func (d *deadlines) Read(b []byte) (int, error) {
	if err := d.beforeRead(); err != nil {
		return 0, err
	}
	n, err := d.stream.Read(b)
	if n > 0 {
		d.note()
	}
	if d.passed != nil && n > 0 {
		d.passed(n)
	}
	return n, err
}

// note notes that something was read.
func (d *deadlines) note() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.parts++; d.parts > 1 {
		d.partly = time.Now()
	}
}

// whole notes that what was read makes up whole frames.
func (d *deadlines) whole() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts = 0
}

// receiving returns when a part of a frame came that wasn't its first and didn't
// make it whole, so that a peer that sends a long one on a slow line is known from
// one that is silent. It is zero when that never was.
func (d *deadlines) receiving() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.partly
}

func (d *deadlines) beforeRead() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.silence == 0 || d.last {
		return nil
	}
	return d.stream.SetReadDeadline(time.Now().Add(d.silence))
}

// beforeWrite gives the next write WriteTimeout.
func (d *deadlines) beforeWrite() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil
	}
	return d.stream.SetWriteDeadline(time.Now().Add(WriteTimeout))
}

// hearLastWords ends all reads in a moment.
func (d *deadlines) hearLastWords() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		d.last = true
		d.stream.SetReadDeadline(time.Now().Add(lastWords))
	}
}

// end ends all reads and writes.
func (d *deadlines) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last, d.ended = true, true
	d.stream.SetDeadline(time.Unix(1, 0))
}
