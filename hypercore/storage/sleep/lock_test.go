//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sleep

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// lockAsTheOriginal locks a feed's bitfield like corestore 5 does.
func lockAsTheOriginal(t *testing.T, dir string) (*os.File, error) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, bitfieldFile), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func TestFeedsInUseAreRefused(t *testing.T) {
	dir, first, _ := newSpace(t)
	s := mustOpenStore(t, dir)
	dk := first.Feeds[1].Key.Discovery()
	f, err := lockAsTheOriginal(t, s.path(dk))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Feed(dk); !errors.Is(err, ErrInUse) {
		t.Errorf("feed: %v, want ErrInUse", err)
	}
	if _, err := OpenStore(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("store: %v, want ErrInUse", err)
	}
	f.Close()
	open, err := s.Feed(dk)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockAsTheOriginal(t, s.path(dk)); err == nil {
		t.Error("the original could lock a feed that is being read")
	}
	again, err := s.Feed(dk)
	if err != nil {
		t.Errorf("a second reader: %v", err)
	} else {
		again.Close()
	}
	open.Close()
	if err := open.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := lockAsTheOriginal(t, s.path(dk)); err != nil {
		t.Errorf("still locked after Close: %v", err)
	}
}
