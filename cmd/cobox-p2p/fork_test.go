package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// forkedFeed returns a key and the evidence that its writer signed two histories.
func forkedFeed(t *testing.T) (hypercore.Key, *hypercore.ForkEvidence) {
	t.Helper()
	pair := hypercore.NewKeyPair([hypercore.SeedSize]byte{1})
	var heads [2]hypercore.Statement
	for i := range heads {
		f, err := hypercore.Open(storage.NewMemory(), pair.Public, pair)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Append(context.Background(), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		heads[i].SignedHead = f.Head().Signed()
	}
	return pair.Public, &hypercore.ForkEvidence{Ours: heads[0], Theirs: heads[1]}
}

func TestForkFile(t *testing.T) {
	key, e := forkedFeed(t)
	path := filepath.Join(t.TempDir(), "fork")
	if err := writeFork(path, key, e); err != nil {
		t.Fatal(err)
	}
	if err := writeFork(path, key, e); err == nil {
		t.Error("an existing file was written over")
	}
	gotKey, got, err := readFork(path)
	if err != nil || gotKey != key || got.Verify(key) != nil {
		t.Fatalf("read %s, %v", gotKey, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, bad := range map[string]string{
		"empty": "", "no header": lines[1] + lines[2], "no evidence": lines[0] + lines[1], "cut": string(text[:len(text)-9]),
		"another key": lines[0] + strings.Repeat("ab", 31) + "\n" + lines[2], "more": string(text) + "00\n",
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readFork(path); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

func TestForkOfAStatus(t *testing.T) {
	key, e := forkedFeed(t)
	gotKey, got, err := forkOf(node.FeedStatus{Key: key.String(), Evidence: e.Append(nil)})
	if err != nil || gotKey != key || got.Verify(key) != nil {
		t.Errorf("forkOf = %s, %v", gotKey, err)
	}
	if f := newFork(key, e); f.Ours != 1 || f.Theirs != 1 || f.Feed != key.String() || !strings.Contains(f.Text, "1 blocks") {
		t.Errorf("newFork = %+v", f)
	}
}
