package storage

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// punchHole gives back the space of size bytes of the file from offset on, which
// read as zeros then. Where the file system can't do that, it does nothing.
func punchHole(f vfs.File, offset, size int64) error {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return nil
	}
	for {
		err := unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
			return nil
		default:
			return err
		}
	}
}
