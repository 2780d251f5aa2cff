package storage

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// beginWrite asks the system to bring size bytes of the file from offset on to the
// disk, without waiting for it. That it can't is no error: the sync will tell.
func beginWrite(f vfs.File, offset, size int64) {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		unix.SyncFileRange(int(fd), offset, size, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// dropCache makes the next read of what was synced one of the disk.
func dropCache(f vfs.File) {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED)
	}
}
