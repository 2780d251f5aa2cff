//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package sleep

import (
	"errors"
	"os"
	"syscall"
)

// errorLockViolation is what Windows answers to who reads a locked byte.
const errorLockViolation = syscall.Errno(33)

// lockShared returns ErrInUse when corestore 5 or hypercore 9 have the feed
// open: they lock the first byte of the file bitfield. Where there are no such
// locks nothing can be told.
func lockShared(f *os.File) error {
	var b [1]byte
	if _, err := f.ReadAt(b[:], 0); errors.Is(err, errorLockViolation) {
		return ErrInUse
	}
	return nil
}
