package multifeed

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

func entriesOf(keys []hypercore.Key) []Entry {
	entries := make([]Entry, len(keys))
	for i, k := range keys {
		entries[i] = Entry{Feed: k}
	}
	return entries
}

// The legacy stack made files, handles and memory for every key announced, and
// died of 4,000.
func TestW5AnnouncingFeedsIsBounded(t *testing.T) {
	const limit = 300
	nv := newNode(t, "victim")
	v := nv.open(NewOpenAddress(), WithMaxFeeds(limit))
	refused := 0
	v.Notify(func(e Event) {
		if e.Kind == FeedRefused && errors.Is(e.Err, ErrTooMany) {
			refused++
		}
	})
	r := rawPeer(t, "attacker", nv, v)
	keys := keysOf(1200)
	if soak {
		keys = keysOf(4000)
	}
	announce := func(keys []hypercore.Key) {
		for page := range slices.Chunk(keys, MaxPageEntries) {
			if err := r.page(false, entriesOf(page)...); err != nil {
				t.Fatalf("session ended: %v", r.end())
			}
		}
		r.wantAlive()
	}
	announce(keys[:limit])
	if got := len(v.Feeds()); got != limit || refused != 0 {
		t.Errorf("%d feeds, %d refused, want %d and 0", got, refused, limit)
	}
	announce(keys[limit : limit+1])
	if got := len(v.Feeds()); got != limit || refused != 1 {
		t.Errorf("one more: %d feeds, %d refused, want %d and 1", got, refused, limit)
	}
	announce(keys[limit+1:])
	if got := len(v.Feeds()); got != limit || refused != len(keys)-limit {
		t.Errorf("%d announced: %d feeds, %d refused", len(keys), got, refused)
	}
	if n := recordsOf(t, nv); n != limit {
		t.Errorf("%d records, want %d", n, limit)
	}
	for f := range nv.mem.Feeds() {
		t.Errorf("feed %.8s is stored", f.Key.Discovery())
	}
	if _, err := v.Add(keys[limit+5], Admission{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("Add to a full space: %v, want %v", err, ErrTooMany)
	}
	list := r.session.exchange.(*List)
	list.mu.Lock()
	defer list.mu.Unlock()
	if len(list.told) > limit {
		t.Errorf("%d announced feeds are remembered, want %d", len(list.told), limit)
	}
}

func recordsOf(t *testing.T, n *node) (records int) {
	t.Helper()
	for _, err := range n.mem.Records([]byte(recordPrefix)) {
		if err != nil {
			t.Fatal(err)
		}
		records++
	}
	return records
}

func TestW5EntriesInAMinuteAreLimited(t *testing.T) {
	nv, v, keys := openSpace(t, 1)
	r := rawPeer(t, "peer", nv, v)
	page := slices.Repeat(entriesOf(keys), MaxPageEntries)
	sent := 0
	for ; sent+len(page) <= MaxEntries; sent += len(page) {
		if r.page(false, page...) != nil {
			t.Fatalf("session ended after %d entries: %v", sent, r.end())
		}
	}
	r.page(false, page[:MaxEntries-sent]...)
	r.wantAlive()
	r.page(false, page[0])
	r.wantCode(CodeLimit)
}

func TestW5EntriesInAPageAreLimited(t *testing.T) {
	for n, want := range map[int]Code{MaxPageEntries: CodeNone, MaxPageEntries + 1: CodeLimit} {
		nv, v, keys := openSpace(t, 1)
		r := rawPeer(t, "peer", nv, v)
		r.page(true, slices.Repeat(entriesOf(keys), n)...)
		if err := r.settled(); CodeOf(err) != want {
			t.Errorf("page of %d entries: %v, want code %v", n, err, want)
		}
	}
}

// bytesField returns a protobuf field of bytes.
func bytesField(num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
}

func varintField(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

// malformedPages break the format; each ends the session that sent it.
func malformedPages() map[string][]byte {
	key := keysOf(1)[0]
	feed := bytesField(entryFeed, key[:])
	head := slices.Concat(feed, varintField(entryLength, 1))
	hash, sig := bytesField(entryRootHash, make([]byte, 32)), bytesField(entrySignature, make([]byte, 64))
	entry := func(parts ...[]byte) []byte { return bytesField(pageEntry, slices.Concat(parts...)) }
	return map[string][]byte{
		"JSON":                         []byte(`{"keys":["zz"]}`),
		"null":                         []byte("null"),
		"cut off":                      entry(feed)[:20],
		"a group":                      {pageEntry<<3 | 3, pageEntry<<3 | 4},
		"an unknown group":             {9<<3 | 3, 9<<3 | 4},
		"entry is a number":            varintField(pageEntry, 1),
		"entry of fixed size":          {pageEntry<<3 | 5, 0, 0, 0, 0},
		"last is bytes":                bytesField(pageLast, []byte{1}),
		"last of fixed size":           {pageLast<<3 | 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"field number 0":               {0x02, 0},
		"empty entry":                  entry(),
		"entry cut off":                entry(feed[:9]),
		"key of 31 bytes":              entry(bytesField(entryFeed, key[:31])),
		"key of 33 bytes":              entry(bytesField(entryFeed, append(key[:], 0))),
		"key is a number":              entry(varintField(entryFeed, 1)),
		"length is bytes":              entry(feed, bytesField(entryLength, nil)),
		"length of fixed size":         entry(feed, []byte{entryLength<<3 | 5, 0, 0, 0, 0}),
		"length over 2^53-1":           entry(feed, varintField(entryLength, merkle.MaxSize+1), hash, sig),
		"head without a root hash":     entry(head, sig),
		"head without a signature":     entry(head, hash),
		"root hash without a length":   entry(feed, hash, sig),
		"signature without a length":   entry(feed, sig),
		"root hash of 31 bytes":        entry(head, bytesField(entryRootHash, make([]byte, 31)), sig),
		"signature of 63 bytes":        entry(head, hash, bytesField(entrySignature, make([]byte, 63))),
		"admission of 63 bytes":        entry(feed, bytesField(entryAdmission, make([]byte, 63))),
		"admission is a number":        entry(feed, varintField(entryAdmission, 0)),
		"good entry, then a truncated": slices.Concat(entry(feed), entry(feed)[:8]),
	}
}

// One malformed message ended the legacy process.
func TestW5bMalformedPagesEndOnlyTheirSession(t *testing.T) {
	v := newVictim(t, NewSecret())
	bad := malformedPages()
	delete(bad, "good entry, then a truncated") // is not admitted before
	for name, page := range bad {
		t.Run(name, func(t *testing.T) {
			r := rawPeer(t, "attacker", v.node, v.space)
			r.send(0, &hypercore.Extension{ID: rawList, Payload: page})
			r.wantCode(CodeProtocol)
		})
	}
	v.unharmed(t)
}

func TestMalformedPagesOfAnOpenSpace(t *testing.T) {
	for name, page := range malformedPages() {
		nv, v, _ := openSpace(t, 0)
		r := rawPeer(t, "attacker", nv, v)
		r.send(0, &hypercore.Extension{ID: rawList, Payload: page})
		if err := r.end(); CodeOf(err) != CodeProtocol {
			t.Errorf("%s: session ended with %v, want code %v", name, err, CodeProtocol)
		}
	}
}

// What a later version may add is skipped.
func TestUnknownFieldsOfPagesAreSkipped(t *testing.T) {
	key := keysOf(1)[0]
	entry := slices.Concat(varintField(9, 7), bytesField(entryFeed, key[:]), bytesField(15, []byte("x")), []byte{14<<3 | 5, 1, 2, 3, 4})
	page := slices.Concat(varintField(77, 1), bytesField(pageEntry, entry), bytesField(78, nil), varintField(pageLast, 0))
	nv, v, _ := openSpace(t, 0)
	r := rawPeer(t, "peer", nv, v)
	r.mustSend(0, &hypercore.Extension{ID: rawList, Payload: page})
	r.wantAlive()
	if _, err := v.Feed(key); err != nil {
		t.Errorf("Feed: %v", err)
	}
	if v.Exchanged() {
		t.Error("a last of 0 counts as the last page")
	}
}

func TestEntryRoundTrip(t *testing.T) {
	var full Entry
	for _, b := range [][]byte{full.Feed[:], full.RootHash[:], full.Signature[:], full.Admission[:]} {
		rand.Read(b)
	}
	full.Length = merkle.MaxSize
	bare := Entry{Feed: full.Feed}
	admitted := Entry{Feed: full.Feed, Admission: full.Admission}
	for _, want := range []Entry{full, bare, admitted} {
		got, err := decodeEntry(appendEntry(nil, want))
		if err != nil || got != want {
			t.Errorf("decodeEntry = %+v, %v, want %+v", got, err, want)
		}
	}
}

// pageVector is the example of interop/spec/feedset.md, row by row: the page of a member of
// the signed space of keys.md, with the feed of the seed 0x46.. and one block
// "block" in the clear, and the last one.
var pageVector = []string{
	"0aca01",
	"0a20ee93a4f66f8d16b819bb9beb9ffccdfcdc1412e87fee6a324c2a99a1e0e67148",
	"1001",
	"1a206a35cc865813d720590127ce45aff05ef3d4e25b5ac37bd5f88805c3c1b5c98b",
	"224023f36fcf9e6146385f8e0668d4efa2360d0502219522f1268efc1e0d2cbcabe4b37e75b81d2b4469d45c3551d48fb4cdb4575fbf3d17b007a3d6fa23b7195309",
	"2a40d45541cbc9a90eb518525a1936ddf1cd6ac247a06688572734d61e1366f5190167bff99d6ff4de959dacd55de09cbcc0dee31420e6788e885371386242006c08",
	"1001",
}

func TestPageVector(t *testing.T) {
	pair := hypercore.NewKeyPair([hypercore.SeedSize]byte(bytes.Repeat([]byte{0x46}, hypercore.SeedSize)))
	var roots merkle.Roots
	roots.Append(merkle.Leaf(0, []byte("block")), nil)
	head := hypercore.Signable(roots.Hash(), 1)
	e := Entry{Feed: pair.Public, Length: 1, RootHash: roots.Hash(), Signature: pair.Sign(head), Admission: testSecret.Admit(pair.Public)}
	got := pageOf(true, e)
	vector := strings.Join(pageVector, "")
	if want := unhex(t, vector); !bytes.Equal(got, want) {
		t.Errorf("page = %x, want %x", got, want)
	}
	frame, err := wire.AppendFrame(nil, 0, &hypercore.Extension{ID: 1, Payload: got})
	if want := unhex(t, "d1010f01"+vector); err != nil || !bytes.Equal(frame, want) {
		t.Errorf("frame = %x, %v, want %x", frame, err, want)
	}
	spec, err := os.ReadFile("../interop/spec/feedset.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range append([]string{"d101", "0f", "01"}, pageVector...) {
		if !bytes.Contains(spec, []byte("\n| `"+row+"` |")) {
			t.Errorf("interop/spec/feedset.md has no row %s", row)
		}
	}
	nv := newNode(t, "victim")
	v := nv.open(testSecret.Address())
	r := rawPeer(t, "peer", nv, v)
	r.mustSend(0, &hypercore.Extension{ID: rawList, Payload: unhex(t, vector)})
	r.wantAlive()
	f, err := v.Feed(pair.Public)
	if err != nil {
		t.Fatal(err)
	}
	if f.KnownLength() != 1 || f.Admission() != e.Admission {
		t.Errorf("length = %d, want 1; admission %x", f.KnownLength(), f.Admission())
	}
}
