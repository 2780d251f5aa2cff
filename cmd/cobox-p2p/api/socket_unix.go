//go:build !windows

package api

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// checkOwner returns an error unless dir is this user's own and closed to
// others: the folder of a daemon that is gone may have been made anew by
// somebody else who wants to be told secrets.
func checkOwner(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not this user's private folder: the daemon that used it is gone", dir)
	}
	return nil
}

// storeLocked says whether another process has the store of dir locked, as a
// daemon that is starting has. It takes no lock: that could refuse the daemon.
func storeLocked(dir string) bool {
	f, err := os.Open(node.StoreLock(dir))
	if err != nil {
		return false
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock)
	return err == nil && lock.Type != syscall.F_UNLCK
}
