//go:build !windows

package api

import (
	"fmt"
	"os"
	"syscall"
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
