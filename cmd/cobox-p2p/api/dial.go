package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// How long a client waits for the socket of a daemon that is starting: for one
// that was started together with the client until it locks its store, and from
// then on until it answers.
const (
	lockWait   = 300 * time.Millisecond
	socketWait = 5 * time.Second
	dialPause  = 50 * time.Millisecond
)

// ErrNoDaemon is returned when no daemon answers in a folder.
var ErrNoDaemon = errors.New("no daemon runs")

// dial connects to the daemon of dir, and waits a little for one that is
// starting. It returns an error that wraps ErrNoDaemon, or node.ErrNotInit, and
// says what to do when none runs.
func dial(ctx context.Context, dir string) (net.Conn, error) {
	began := time.Now()
	for {
		c, err := dialNow(ctx, dir)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			if err != nil {
				return nil, fmt.Errorf("reach the daemon in %s: %w", dir, err)
			}
			return c, nil
		}
		if err := node.CheckInit(dir); err != nil {
			return nil, err
		}
		waited := time.Since(began)
		locked := storeLocked(dir)
		switch {
		case locked && waited >= socketWait:
			return nil, fmt.Errorf("%w in %s that answers yet: one is starting or ending there", ErrNoDaemon, dir)
		case !locked && waited >= lockWait:
			return nil, fmt.Errorf("%w in %s: start it with cobox-p2p run --dir %q", ErrNoDaemon, dir, dir)
		}
		select {
		case <-time.After(dialPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func dialNow(ctx context.Context, dir string) (net.Conn, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

func socketPath(dir string) (string, error) {
	real, err := realPath(dir)
	if err != nil {
		return "", err
	}
	path, err := notedPath(real)
	if !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if path = filepath.Join(real, socketFile); len(path) > maxSocketPath {
		return "", err // no daemon has its socket there
	}
	return path, nil
}
