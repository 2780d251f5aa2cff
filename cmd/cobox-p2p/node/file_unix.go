//go:build !windows

package node

import (
	"fmt"
	"io/fs"
)

// checkPrivate returns an error that tells the chmod to do when others than its
// owner may read or write what info describes.
func checkPrivate(path string, info fs.FileInfo, chmod string) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s is open to other users (mode %04o), and it holds secrets: run chmod %s %q", path, mode, chmod, path)
	}
	return nil
}
