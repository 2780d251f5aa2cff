package api

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// folder returns a folder whose socket path has that many bytes.
func folder(t *testing.T, size int) string {
	t.Helper()
	base, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if base, err = filepath.EvalSymlinks(base); err != nil {
		t.Fatal(err)
	}
	pad := size - len(filepath.Join(base, "x", socketFile)) + 1
	if pad < 1 {
		t.Skipf("the temporary folder %s has a long path itself", base)
	}
	dir := filepath.Join(base, strings.Repeat("d", pad))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// As of a node that is set up.
	if err := os.WriteFile(filepath.Join(dir, "master.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSocketPaths(t *testing.T) {
	for _, size := range []int{60, maxSocketPath, maxSocketPath + 1, 200} {
		dir := folder(t, size)
		if _, err := dial(t.Context(), dir); !errors.Is(err, ErrNoDaemon) {
			t.Errorf("%d bytes: without a daemon: %v, want ErrNoDaemon", size, err)
		}
		l, remove, err := listen(dir)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		path := l.Addr().String()
		if inside := filepath.Dir(path) == dir; inside != (size <= maxSocketPath) {
			t.Errorf("%d bytes: the socket is %s", size, path)
		}
		if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("%d bytes: the socket's mode is %v, %v", size, info.Mode(), err)
		}
		greet(t, l, dir)
		l.Close()
		remove()
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%d bytes: %s is left", size, path)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 { // master.key
			t.Errorf("%d bytes: left in the folder: %v", size, left)
		}
	}
}

// greet dials the socket of dir and passes a byte.
func greet(t *testing.T, l net.Listener, dir string) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Write([]byte("!"))
			c.Close()
		}
		ended <- err
	}()
	c, err := dial(t.Context(), dir)
	if err != nil {
		t.Error(err)
		l.Close()
		<-ended
		return
	}
	defer c.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != "!" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestDialWaits holds that a client finds a daemon that opens its socket a little
// later, and says at once that no node is set up.
func TestDialWaits(t *testing.T) {
	dir := folder(t, 60)
	ctx, stop := context.WithCancel(t.Context())
	dialled := make(chan error, 1)
	go func() {
		c, err := dial(ctx, dir)
		if err == nil {
			c.Close()
		}
		dialled <- err
	}()
	l, remove, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-dialled; err != nil {
		t.Errorf("dial before listen: %v", err)
	}
	stop()
	l.Close()
	remove()
	if _, err := dial(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("dial with a context that ended: %v", err)
	}
	os.Remove(filepath.Join(dir, "master.key"))
	if _, err := dial(t.Context(), dir); !errors.Is(err, node.ErrNotInit) {
		t.Errorf("dial in an empty folder: %v, want ErrNotInit", err)
	}
}

// TestStaleSocket holds that what a killed daemon left is no daemon and is
// replaced.
func TestStaleSocket(t *testing.T) {
	for _, size := range []int{60, 200} {
		dir := folder(t, size)
		l, _, err := listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false) // as if killed
		old := l.Addr().String()
		l.Close()
		if _, err := dial(t.Context(), dir); !errors.Is(err, ErrNoDaemon) {
			t.Errorf("%d bytes: a stale socket: %v, want ErrNoDaemon", size, err)
		}
		l, remove, err := listen(dir)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		greet(t, l, dir)
		if path := l.Addr().String(); path != old {
			if _, err := os.Lstat(filepath.Dir(old)); err == nil {
				t.Errorf("%d bytes: %s is left", size, filepath.Dir(old))
			}
		}
		l.Close()
		remove()
	}
}

// TestForeignSocketFolder holds that a client isn't sent to a folder that
// somebody else may have made in the place of a daemon's.
func TestForeignSocketFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders have no mode on Windows")
	}
	dir := folder(t, 60)
	short := filepath.Join(t.TempDir(), "cobox-short")
	if err := os.Mkdir(short, 0o700); err != nil {
		t.Fatal(err)
	}
	for note, mode := range map[string]os.FileMode{
		filepath.Join(short, socketFile):       0o755,
		filepath.Join(short, "other"):          0o700,
		"cobox-short/" + socketFile:            0o700,
		filepath.Join(dir, "x/../"+socketFile): 0o700,
	} {
		if err := errors.Join(os.Chmod(short, mode), os.WriteFile(filepath.Join(dir, pathFile), []byte(note), 0o600)); err != nil {
			t.Fatal(err)
		}
		if path, err := socketPath(dir); err == nil {
			t.Errorf("the note %q with mode %v gave %s", note, mode, path)
		}
	}
}
