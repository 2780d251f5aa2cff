package node

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func TestMessage(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"multifeed: no key":                "no key",
		"space home: multifeed: no key":    "space home: no key",
		"connect: host: multifeed: gone":   "connect: gone",
		"one\nhost: two: discovery: three": "one\ntwo: three",
		"a host: is kept":                  "a host: is kept",
	} {
		if got := Message(errors.New(text)); got != want {
			t.Errorf("Message(%q) = %q, want %q", text, got, want)
		}
	}
	failed := fmt.Errorf("append: %w: %w", hypercore.ErrStorageFailed, errors.New("no space left\nstack trace"))
	if got, want := Message(failed), "append: storage failed earlier, reopen it: no space left"; got != want {
		t.Errorf("Message of a failed store = %q, want %q", got, want)
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"host: timed out":                  "timed out",
		"failed to dial:\n  * [a] refused": "failed to dial: [a] refused",
		"failed to dial\n * a\n * b\n * c\n\n * d": "failed to dial: a; b; and 2 more",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("oneLine(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestFirstNodeOfADHT holds that nothing is called wrong where nobody else is yet.
func TestFirstNodeOfADHT(t *testing.T) {
	f, err := Init(t.TempDir(), "first")
	if err != nil {
		t.Fatal(err)
	}
	dht, err := discovery.ParseDHT("private:/test")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Open(f, Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}, DHT: dht})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if s := n.Status().DHT; s.State != "no other node yet" || s.Nodes != 0 {
		t.Errorf("the DHT's state is %+v", s)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 blocks", 1: "1 block", 2: "2 blocks"} {
		if got := Count(n, "block", "blocks"); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}
