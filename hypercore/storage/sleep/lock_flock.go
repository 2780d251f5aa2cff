//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sleep

import (
	"errors"
	"os"
	"syscall"
)

// lockShared keeps corestore 5 and hypercore 9 from opening the feed as long as
// f is open: they lock the file bitfield for themselves alone. It returns
// ErrInUse when they did so already.
func lockShared(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	// A file system without locks can't tell: there the original has none either.
	return nil
}
