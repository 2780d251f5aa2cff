package node

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// startNode runs a node that meets nobody.
func startNode(t *testing.T, dir string) *Node {
	t.Helper()
	folder, err := OpenFolder(dir)
	if errors.Is(err, ErrNotInit) {
		folder, err = Init(dir, "test")
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := Open(folder, Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func write(t *testing.T, n *Node, space, text string) Appended {
	t.Helper()
	a, err := n.Append(t.Context(), space, "w", DefaultBlockSize, strings.NewReader(text), func() {})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFindSpace(t *testing.T) {
	n := startNode(t, t.TempDir())
	home, err := n.Create("home", false)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := n.Create("", true)
	if err != nil {
		t.Fatal(err)
	}
	if plain.Name != plain.DiscoveryKey[:8] {
		t.Errorf("the default name is %q, want the begin of %s", plain.Name, plain.DiscoveryKey)
	}
	for text, want := range map[string]string{
		"home": "home", "ho": "home", home.Address: "home", strings.ToUpper(home.Address): "home",
		home.Address[:20]: "home", home.DiscoveryKey: "home", home.DiscoveryKey[:12]: "home", home.Secret: "home",
		plain.Name: plain.Name, plain.DiscoveryKey[:6]: plain.Name, plain.Address: plain.Name,
	} {
		if s, err := n.Show(text, false); err != nil || s.Name != want || s.Secret != "" {
			t.Errorf("Show(%q) = %+v, %v, want %s", text, s, err, want)
		}
	}
	for _, text := range []string{"", "cbx", "absent", secretText()} {
		_, err := n.Show(text, false)
		if _, use := errors.AsType[*UseError](err); !use || len(text) > 24 && strings.Contains(err.Error(), text) {
			t.Errorf("Show(%q): %v, want a UseError that doesn't repeat a secret", text, err)
		}
	}
}

// TestLeaveKeepsSharedFeeds holds that leaving a space takes nothing from
// another one here.
func TestLeaveKeepsSharedFeeds(t *testing.T) {
	n := startNode(t, t.TempDir())
	text, err := multifeed.FormatAccessKey(multifeed.NewOpenAddress(), multifeed.NewEncryptionKey())
	if err != nil {
		t.Fatal(err)
	}
	// Two open spaces with one encryption key can both read the feed.
	other := multifeed.NewOpenAddress()
	a, err := multifeed.ParseAccess(text)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := multifeed.FormatAccessKey(other, *a.EncryptionKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"one": text, "two": twin} {
		if _, err := n.Join(text, name); err != nil {
			t.Fatal(err)
		}
	}
	write(t, n, "one", "shared")
	write(t, n, "one", " feed")
	one, _ := n.find("one")
	two, _ := n.find("two")
	if _, err := two.Add(one.Feeds()[0].Key(), multifeed.Admission{}); err != nil {
		t.Fatal(err)
	}
	l, err := n.Leave("one", false, true)
	if err != nil || l.Shared != 1 || l.Bytes != 0 {
		t.Errorf("Leave told %+v, %v", l, err)
	}
	r, err := n.OpenRead(t.Context(), "two", ReadOptions{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := r.Copy(t.Context(), &out); err != nil || out.String() != "shared feed" {
		t.Errorf("the other space reads %q, %v", out.String(), err)
	}
}

// TestInterruptedLeave holds that a leave that was cut short is finished at the
// next start.
func TestInterruptedLeave(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	s, err := n.Create("home", false)
	if err != nil {
		t.Fatal(err)
	}
	write(t, n, "home", "text")
	n.Close()
	if err := writeSpaces(dir, []entry{{Name: "home", Access: s.Secret, Mode: ModeMember, Leaving: true}}); err != nil {
		t.Fatal(err)
	}
	n = startNode(t, dir)
	if all := n.Spaces(); len(all) != 0 {
		t.Errorf("still here: %+v", all)
	}
	for f, err := range n.store.List() {
		t.Errorf("a feed is left: %v, %v", f.Key.Discovery(), err)
	}
	if list, err := readSpaces(dir); err != nil || len(list) != 0 {
		t.Errorf("still remembered: %v, %v", list, err)
	}
}

// TestLeaveEndsWaiters holds that who follows a space hears that it was left.
func TestLeaveEndsWaiters(t *testing.T) {
	n := startNode(t, t.TempDir())
	if _, err := n.Create("home", false); err != nil {
		t.Fatal(err)
	}
	write(t, n, "home", "text")
	r, err := n.OpenRead(t.Context(), "home", ReadOptions{Offline: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := r.Copy(t.Context(), out)
		ended <- err
	}()
	if _, err := io.ReadFull(in, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Leave("home", true, false); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, errLeft) {
		t.Errorf("following ended with %v, want that the space was left", err)
	}
}

// TestClosedNode holds that the folder is locked, and that Close may be called
// twice.
func TestClosedNode(t *testing.T) {
	n := startNode(t, t.TempDir())
	folder := n.Folder()
	if _, err := Open(folder, Config{}); !errors.Is(err, ErrRunning) {
		t.Errorf("a second node in the folder: %v, want ErrRunning", err)
	}
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Error(err)
	}
	if _, err := n.Create("late", false); !errors.Is(err, ErrClosed) {
		t.Errorf("Create after Close: %v, want ErrClosed", err)
	}
}
