package discovery

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

var day = time.Unix(1_700_000_000, 0)

func openBook(t *testing.T, path string) *Book {
	t.Helper()
	b, err := OpenBook(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ids(peers []peer.AddrInfo) []peer.ID {
	var all []peer.ID
	for _, p := range peers {
		all = append(all, p.ID)
	}
	return all
}

func TestBookRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.json")
	b := openBook(t, path)
	b.Seen(testKey(1), testPeer(1), day)
	b.Seen(testKey(1), testPeer(2), day.Add(time.Second))
	b.Seen(testKey(2), testPeer(1), day.Add(time.Minute)) // of another key: no change of order
	b.Seen(testKey(1), peer.AddrInfo{ID: testID(3)}, day) // no address: not noted
	b.Seen(testKey(1), peer.AddrInfo{}, day)
	b.Seen(testKey(1), peer.AddrInfo{ID: testID(1)}, day) // no address: the known ones stay
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, want 0600", info.Mode())
	}
	before, _ := os.ReadFile(path)
	b = openBook(t, path)
	got := b.Peers(testKey(1))
	if want := []peer.ID{testID(2), testID(1)}; !slices.Equal(ids(got), want) {
		t.Errorf("peers = %v, want %v", ids(got), want)
	}
	if len(got) == 2 && !got[1].Addrs[0].Equal(testPeer(1).Addrs[0]) {
		t.Errorf("addresses = %v", got[1].Addrs)
	}
	b.Seen(testKey(1), peer.AddrInfo{ID: testID(1), Addrs: testPeer(9).Addrs}, day.Add(time.Hour))
	if got := b.Peers(testKey(1)); got[0].ID != testID(1) || !got[0].Addrs[0].Equal(testPeer(9).Addrs[0]) {
		t.Errorf("after a newer sighting: %v", got)
	}
	b.Forget(testKey(1))
	if got := b.Peers(testKey(1)); len(got) != 0 || len(b.Peers(testKey(2))) != 1 {
		t.Errorf("after Forget: %v", got)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); bytes.Equal(before, after) {
		t.Error("Forget wasn't saved")
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("files left: %v", names)
	}
}

func TestBookLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.json")
	b := openBook(t, path)
	for n := 1; n <= MaxBookPeers; n++ {
		b.Seen(testKey(0), testPeer(n), day.Add(time.Duration(n)*time.Second))
	}
	if got := len(b.Peers(testKey(0))); got != MaxBookPeers {
		t.Errorf("%d peers, want %d", got, MaxBookPeers)
	}
	b.Seen(testKey(0), testPeer(MaxBookPeers+1), day.Add(time.Hour))
	if got := ids(b.Peers(testKey(0))); len(got) != MaxBookPeers || slices.Contains(got, testID(1)) {
		t.Errorf("%d peers after one more; the oldest is there: %v", len(got), slices.Contains(got, testID(1)))
	}
	for n := range MaxBookKeys { // one key more than the limit, with that above
		b.Seen(testKey(1000+n), testPeer(2), day.Add(24*time.Hour+time.Duration(n)*time.Second))
	}
	if slices.Contains(ids(b.Peers(testKey(0))), testID(2)) || len(b.Peers(testKey(1000))) != 1 {
		t.Error("the oldest key of a peer didn't make room, or the second oldest did")
	}
	many := peer.AddrInfo{ID: testID(2)}
	for n := range MaxAddrs + 1 {
		many.Addrs = append(many.Addrs, addr(fmt.Sprintf("/ip4/10.9.9.9/tcp/%d", 1+n)))
	}
	b.Seen(testKey(1001), many, day.Add(48*time.Hour))
	if got := len(b.Peers(testKey(1001))[0].Addrs); got != MaxAddrs {
		t.Errorf("%d addresses, want %d", got, MaxAddrs)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := openBook(t, path); len(got.peers) != MaxBookPeers {
		t.Errorf("a full book holds %d peers when read again", len(got.peers))
	}
}

// TestBookLargest shows that no book that is written is too long to be read.
func TestBookLargest(t *testing.T) {
	path := "/unix/" + strings.Repeat("<", MaxAddrBytes-5) // six bytes each in JSON
	a := addr(path)
	if len(a.Bytes()) > MaxAddrBytes || len(a.Bytes()) < MaxAddrBytes-4 {
		t.Fatalf("address of %d bytes", len(a.Bytes()))
	}
	e := &bookEntry{info: peer.AddrInfo{ID: testID(1)}, keys: map[[32]byte]time.Time{}}
	for range MaxAddrs {
		e.info.Addrs = append(e.info.Addrs, a)
	}
	for n := range MaxBookKeys {
		e.note(testKey(n), day)
	}
	if size := len(encodeBook(map[peer.ID]*bookEntry{testID(1): e})); size*MaxBookPeers > MaxBookBytes {
		t.Errorf("%d peers of %d bytes exceed %d", MaxBookPeers, size, MaxBookBytes)
	}
}

func TestBookIsSetAsideWhenDamaged(t *testing.T) {
	good := string(encodeBook(sampleBook()))
	id := testID(1).String()
	for name, text := range map[string]string{
		"cut off":          good[:len(good)/2],
		"empty":            "",
		"not JSON":         "\x00\x01",
		"trailing":         good + "{}",
		"version":          strings.Replace(good, `"version": 1`, `"version": 2`, 1),
		"unknown field":    strings.Replace(good, `"version"`, `"other": 1, "version"`, 1),
		"bad ID":           strings.Replace(good, id, "12D3", 1),
		"twice":            strings.Replace(good, testID(2).String(), id, 1),
		"bad address":      strings.Replace(good, "/ip4/10.0.0.1", "/ip9/10.0.0.1", 1),
		"address of other": strings.Replace(good, "/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/tcp/4001/p2p/"+testID(2).String(), 1),
		"short key":        strings.Replace(good, keyHex(testKey(1)), "abcd", 1),
		"same key":         strings.Replace(good, keyHex(testKey(2)), keyHex(testKey(1)), 1),
		"no address":       `{"version":1,"peers":[{"id":"` + id + `","addrs":[],"keys":[{"key":"` + keyHex(testKey(1)) + `","seen":1}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "peers.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			b, err := OpenBook(path, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if len(b.peers) != 0 || !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("%d peers, log %q", len(b.peers), log.String())
			}
			if aside, err := os.ReadFile(path + ".damaged"); err != nil || string(aside) != text {
				t.Errorf("set aside: %v", err)
			}
			b.Seen(testKey(1), testPeer(1), day)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBookTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.json")
	const limit = 1000
	for _, test := range []struct {
		size int64
		want error
	}{{limit, nil}, {limit + 1, errBookDamaged}} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, test.size); err != nil {
			t.Fatal(err)
		}
		if _, err := readBounded(path, limit); !errors.Is(err, test.want) {
			t.Errorf("%d bytes: %v, want %v", test.size, err, test.want)
		}
	}
}

func TestBookErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenBook(filepath.Join(dir, "none", "peers.json"), nil); err == nil {
		t.Error("opened in a directory that doesn't exist")
	}
	path := filepath.Join(dir, "peers.json")
	b := openBook(t, path)
	b.Seen(testKey(1), testPeer(1), day)
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(); err == nil {
		t.Error("saved over a directory")
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(); err != nil { // what wasn't saved is saved then
		t.Error(err)
	}
	if got := openBook(t, path).Peers(testKey(1)); len(got) != 1 {
		t.Errorf("peers = %v", got)
	}
}

func sampleBook() map[peer.ID]*bookEntry {
	b := &Book{peers: map[peer.ID]*bookEntry{}}
	b.Seen(testKey(1), testPeer(1), day)
	b.Seen(testKey(2), testPeer(1), day)
	b.Seen(testKey(1), testPeer(2), day)
	return b.peers
}

func FuzzDecodeBook(f *testing.F) {
	f.Add(encodeBook(sampleBook()))
	f.Add([]byte(`{"version":1,"peers":[]}`))
	f.Add([]byte(`{"version":1,"peers":[{"id":"x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		peers, err := decodeBook(data)
		if err != nil {
			if !errors.Is(err, errBookDamaged) {
				t.Fatalf("error %v isn't errBookDamaged", err)
			}
			return
		}
		text := encodeBook(peers)
		again, err := decodeBook(text)
		if err != nil {
			t.Fatalf("own encoding is refused: %v\n%s", err, text)
		}
		if third := encodeBook(again); !bytes.Equal(third, text) {
			t.Fatalf("encodings differ:\n%s\n%s", text, third)
		}
	})
}

func TestTrimAddrs(t *testing.T) {
	self, other := testID(1), testID(2)
	got := trimAddrs(self, []multiaddr.Multiaddr{
		nil,
		addr("/ip4/10.0.0.1/tcp/1/p2p/" + self.String()),
		addr("/ip4/10.0.0.1/tcp/1"),
		addr("/ip4/10.0.0.1/tcp/2/p2p/" + other.String()),
		addr("/p2p/" + self.String()),
		addr("/ip4/10.0.0.1/tcp/3/p2p/" + other.String() + "/p2p-circuit"),
		addr("/unix/" + strings.Repeat("x", MaxAddrBytes)),
	})
	want := []multiaddr.Multiaddr{
		addr("/ip4/10.0.0.1/tcp/1"),
		addr("/ip4/10.0.0.1/tcp/3/p2p/" + other.String() + "/p2p-circuit"),
	}
	if !slices.EqualFunc(got, want, multiaddr.Multiaddr.Equal) {
		t.Errorf("trimmed = %v, want %v", got, want)
	}
}
