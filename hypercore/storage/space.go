package storage

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// ErrDiskFull is wrapped by what Commit returns for a batch that adds bytes while
// there is too little space on the disk. Nothing of the batch is applied. The
// store stays usable: batches that remove are taken, and others again as soon as
// there is space.
var ErrDiskFull = errors.New("storage: disk is full")

const (
	// defaultReserve is what the store leaves free on its disk, in bytes: room
	// for what it has taken already and still has to flush and compact.
	defaultReserve = 64 << 20
	// spaceBytes is what is added between two looks at the free space.
	spaceBytes = 4 << 20
	// smallBytes is what a batch that removes something may add regardless.
	smallBytes = 64 << 10
)

// space refuses batches when the disk is nearly full, before the database
// notices: that could not go on.
type space struct {
	fs      vfs.FS
	dir     string
	reserve uint64

	mu   sync.Mutex // guards left
	left uint64     // bytes that may be added before the next look
}

// admit returns an error that wraps ErrDiskFull when size more bytes would leave
// less than the reserve.
func (s *space) admit(size uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left >= size {
		s.left -= size
		return nil
	}
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err != nil { // such a file system can't tell; its writes will
		s.left = spaceBytes
		return nil
	}
	if usage.AvailBytes < s.reserve || usage.AvailBytes-s.reserve < size {
		s.left = 0
		return fmt.Errorf("%w: %d bytes are free, %d are kept in reserve, the batch has %d",
			ErrDiskFull, usage.AvailBytes, s.reserve, size)
	}
	s.left = min(usage.AvailBytes-s.reserve-size, spaceBytes)
	return nil
}

// adds says whether the batch of size bytes is one that a full disk has no room
// for.
func adds(b *hypercore.Batch, size int) bool {
	removes, writes := false, false
	for i := range b.Feeds {
		w := &b.Feeds[i]
		removes = removes || w.Drop || w.Truncate || len(w.Clear) > 0
		writes = writes || !w.Drop && !w.Truncate && len(w.Clear) == 0
	}
	for _, r := range b.Records {
		removes = removes || r.Value == nil
		writes = writes || r.Value != nil
	}
	return writes && !removes || size > smallBytes
}
