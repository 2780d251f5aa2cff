package multifeed

import (
	"sync"
	"time"
)

// deadlines sets those of one stream, so that what ends a session is never
// overtaken by the deadline of one more read or write.
type deadlines struct {
	stream Stream

	mu      sync.Mutex    // guards all below, and is held over the setting
	silence time.Duration // longest wait of one Read; 0: any
	last    bool          // the deadline of reads stays as it is
	ended   bool          // so does that of writes
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
	return d.stream.Read(b)
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
