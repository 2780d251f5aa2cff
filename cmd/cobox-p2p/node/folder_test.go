package node

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestInitAndOpenFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if _, err := OpenFolder(dir); !errors.Is(err, ErrNotInit) || !strings.Contains(err.Error(), "cobox-p2p init") {
		t.Errorf("a folder that isn't there: %v, want ErrNotInit and what to do", err)
	}
	made, err := Init(dir, "Grace")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if *opened != *made || opened.PeerID() != made.PeerID() {
		t.Error("what is opened is not what was made")
	}
	if _, err := Init(dir, "Hopper"); err == nil {
		t.Error("a second Init went through")
	}
	if again, err := OpenFolder(dir); err != nil || again.Master != made.Master {
		t.Errorf("a refused Init changed the folder: %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]os.FileMode{"": 0o700, masterFile: 0o600, instanceFile: 0o600, nodeFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has mode %v, want %v; %v", name, info.Mode().Perm(), want, err)
		}
	}
}

// TestInitOnce holds that of several at the same time one wins.
func TestInitOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var wg sync.WaitGroup
	won := make(chan byte, 8)
	for i := range byte(8) {
		wg.Go(func() {
			if createFile(path, []byte{i}) == nil {
				won <- i
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d creators won, want 1", len(won))
	}
	if got, err := os.ReadFile(path); err != nil || got[0] != <-won {
		t.Errorf("the file is not the winner's: %v", err)
	}
	if left, _ := filepath.Glob(path + ".new-*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOpenFolderRefuses(t *testing.T) {
	for _, c := range []struct {
		what   string
		damage func(dir string) error
		says   string
	}{
		{"an open folder", func(d string) error { return os.Chmod(d, 0o755) }, "chmod 700"},
		{"an open key", func(d string) error { return os.Chmod(filepath.Join(d, masterFile), 0o640) }, "chmod 600"},
		{"a short key", func(d string) error { return os.WriteFile(filepath.Join(d, masterFile), []byte("abcd\n"), 0o600) }, "64 hex digits"},
		{"a long key", func(d string) error {
			return os.WriteFile(filepath.Join(d, masterFile), make([]byte, maxSmallFile+1), 0o600)
		}, "damaged"},
		{"no instance", func(d string) error { return os.Remove(filepath.Join(d, instanceFile)) }, instanceFile},
		{"no JSON", func(d string) error { return os.WriteFile(filepath.Join(d, nodeFile), []byte("{"), 0o600) }, "damaged"},
	} {
		if runtime.GOOS == "windows" && strings.HasPrefix(c.says, "chmod") {
			continue
		}
		dir := t.TempDir()
		if _, err := Init(dir, ""); err != nil {
			t.Fatal(err)
		}
		if err := c.damage(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFolder(dir); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.what, err, c.says)
		}
	}
}
