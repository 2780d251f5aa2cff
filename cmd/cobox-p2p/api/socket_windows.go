package api

import "os"

// checkOwner trusts the user's temporary folder, which is his own on Windows.
func checkOwner(dir string) error {
	_, err := os.Lstat(dir)
	return err
}

// storeLocked says false: to look would take the lock file from a daemon that is
// about to lock it.
func storeLocked(string) bool { return false }
