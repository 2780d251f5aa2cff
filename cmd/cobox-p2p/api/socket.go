package api

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

const (
	// socketFile is the daemon's socket in the data folder.
	socketFile = "api.sock"
	// pathFile names the socket's path when it could not be in the data folder
	// because that has too long a path.
	pathFile = "api.path"
	// maxSocketPath is the longest path of a socket in bytes that every system
	// takes: macOS has 104 with the closing zero, Linux and Windows 108.
	maxSocketPath = 103
)

// listen opens the socket of the daemon that has dir locked, so that whatever
// lies there of an earlier one is stale. remove takes away what listen made
// beside the socket.
func listen(dir string) (l net.Listener, remove func(), err error) {
	if dir, err = realPath(dir); err != nil {
		return nil, nil, err
	}
	removeStale(dir)
	path := filepath.Join(dir, socketFile)
	remove = func() {}
	if len(path) > maxSocketPath {
		if path, err = shortPath(dir); err != nil {
			return nil, nil, err
		}
		remove = func() { removeStale(dir) }
	}
	if l, err = net.Listen("unix", path); err == nil {
		if err = os.Chmod(path, 0o600); err != nil {
			l.Close()
		}
	}
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("open the socket of the local API: %w", err)
	}
	return l, remove, nil
}

// shortPath makes a private folder for the socket and notes it in dir.
func shortPath(dir string) (string, error) {
	short, err := os.MkdirTemp("", "cobox-") // mode 0700
	if err != nil {
		return "", fmt.Errorf("folder for the socket of the local API: %w", err)
	}
	path := filepath.Join(short, socketFile)
	if len(path) > maxSocketPath {
		os.Remove(short)
		return "", fmt.Errorf("the paths %s and %s are both over %d bytes, too long for a socket: set TMPDIR to a folder with a short path",
			filepath.Join(dir, socketFile), path, maxSocketPath)
	}
	note := filepath.Join(dir, pathFile)
	if err := os.WriteFile(note, []byte(path+"\n"), 0o600); err != nil {
		os.Remove(short)
		os.Remove(note)
		return "", fmt.Errorf("note the path of the local API: %w", err)
	}
	return path, nil
}

// removeStale removes what a daemon that did not end in order left in dir.
func removeStale(dir string) {
	if path, err := notedPath(dir); err == nil {
		os.Remove(path)
		os.Remove(filepath.Dir(path))
	}
	os.Remove(filepath.Join(dir, pathFile))
	os.Remove(filepath.Join(dir, socketFile))
}

// notedPath returns the path that pathFile tells, if its folder is one that
// only this user can have made.
func notedPath(dir string) (string, error) {
	f, err := os.Open(filepath.Join(dir, pathFile))
	if err != nil {
		return "", err
	}
	defer f.Close()
	note, err := io.ReadAll(io.LimitReader(f, maxSocketPath+1))
	if err != nil {
		return "", err
	}
	path := strings.TrimSpace(string(note))
	if !filepath.IsAbs(path) || filepath.Base(path) != socketFile || !strings.HasPrefix(filepath.Base(filepath.Dir(path)), "cobox-") {
		return "", fmt.Errorf("%s holds no path of a socket", filepath.Join(dir, pathFile))
	}
	return path, checkOwner(filepath.Dir(path))
}

// realPath returns the one absolute path of dir that daemon and client agree on.
func realPath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}
