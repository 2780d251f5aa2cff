package multifeed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// bundleOf returns the bundle that a space writes.
func bundleOf(t *testing.T, s *Space, opts ...BundleOption) ([]byte, BundleReport) {
	t.Helper()
	var b bytes.Buffer
	report, err := s.WriteBundle(within(t), &b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), report
}

// readAll reads a bundle that must be read to its end.
func readAll(t *testing.T, s *Space, bundle []byte) BundleReport {
	t.Helper()
	report, err := s.ReadBundle(within(t), bytes.NewReader(bundle))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// wantBlocks fails unless the space holds what fill wrote, blocks of it.
func wantBlocks(t *testing.T, s *Space, key hypercore.Key, blocks uint64) {
	t.Helper()
	f, err := s.Feed(key)
	if err != nil {
		t.Fatal(err)
	}
	if f.Length() != blocks || f.Durable() != blocks {
		t.Fatalf("feed of %d blocks, %d of them durable, want %d", f.Length(), f.Durable(), blocks)
	}
	for seq := range blocks {
		want := fmt.Sprintf("block %d", seq)
		got, err := f.Block(within(t), seq)
		if err == nil && s.Readable() {
			got, err = f.Get(within(t), seq)
		}
		if err != nil || s.Readable() && string(got) != want {
			t.Fatalf("block %d = %q, %v, want %q", seq, got, err, want)
		}
	}
}

// wantReport fails unless the report counts as said and names no fault.
func wantReport(t *testing.T, what string, got BundleReport, feeds int, blocks, held uint64) {
	t.Helper()
	if got.Feeds != feeds || got.Blocks != blocks || got.Held != held || got.Refused != 0 || got.Left != 0 || got.Bad != 0 || len(got.Faults) != 0 {
		t.Errorf("%s: %+v, want %d feeds, %d blocks, %d held and no fault", what, got, feeds, blocks, held)
	}
}

// A writer, a courier without keys and a reader never meet.
func TestBundleThroughABlindCourier(t *testing.T) {
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	courier := newNode(t, "courier").open(secret.Address())
	r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, 13)
	other := writeIn(t, w, "other", "one", "")
	empty := writeIn(t, w, "empty")

	first, wrote := bundleOf(t, w)
	wantReport(t, "written", wrote, 3, 15, 0)
	if _, bytes := log.Held(); wrote.Bytes < bytes {
		t.Errorf("%d bytes, want at least %d", wrote.Bytes, bytes)
	}
	read := readAll(t, courier, first)
	wantReport(t, "read", read, 3, 15, 0)
	if read.Bytes != wrote.Bytes {
		t.Errorf("%d bytes read, %d written", read.Bytes, wrote.Bytes)
	}
	second, again := bundleOf(t, courier)
	wantReport(t, "written by the courier", again, 3, 15, 0)
	wantReport(t, "read at the end", readAll(t, r, second), 3, 15, 0)
	wantBlocks(t, r, log.Key(), 13)
	wantBlock(t, r, other.Key(), 0, "one")
	wantBlock(t, r, other.Key(), 1, "")
	if f, err := r.Feed(empty.Key()); err != nil || f.Admission() != empty.Admission() {
		t.Errorf("the feed without blocks: %v", err)
	}
	wantReport(t, "read again", readAll(t, r, first), 3, 0, 15)
	key, discovery, address := log.Key(), w.Discovery(), secret.Address()
	for _, hidden := range [][]byte{[]byte("block"), key[:8], discovery[:8], address.Key[:8]} {
		if bytes.Contains(first, hidden) {
			t.Errorf("the bundle shows %x", hidden)
		}
	}
	if one, _ := bundleOf(t, w); bytes.Contains(first, one[len(bundleMagic)+1:len(bundleMagic)+9]) {
		t.Error("two bundles of a space can be told to be of one")
	}
}

func TestBundleOfAnOpenSpace(t *testing.T) {
	address, key := NewOpenAddress(), NewEncryptionKey()
	w := newNode(t, "writer").open(address, WithEncryptionKey(key))
	r := newNode(t, "reader").open(address, WithEncryptionKey(key))
	f := fill(t, w, 3)
	bundle, _ := bundleOf(t, w)
	readAll(t, r, bundle)
	wantBlocks(t, r, f.Key(), 3)
}

// Every pair of an older and a newer length goes in, with the whole bundle, with
// one for who needs it, and in any order.
func TestBundlesOfAGrowingFeed(t *testing.T) {
	const most = 7
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	var log *Feed
	var bundles [most + 1][]byte
	for n := 1; n <= most; n++ {
		log = writeIn(t, w, "log", fmt.Sprintf("block %d", n-1))
		bundles[n], _ = bundleOf(t, w)
	}
	for n := 1; n <= most; n++ {
		for m := 1; m <= most; m++ {
			r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
			wantReport(t, "first", readAll(t, r, bundles[m]), 1, uint64(m), 0)
			wantReport(t, fmt.Sprintf("%d behind %d", n, m), readAll(t, r, bundles[n]), 1, uint64(max(n-m, 0)), uint64(min(n, m)))
			wantBlocks(t, r, log.Key(), uint64(max(n, m)))
		}
	}
	for m := 1; m <= most; m++ {
		r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
		readAll(t, r, bundles[m])
		more, wrote := bundleOf(t, w, BundleSince(needOf(t, r, w)))
		wantReport(t, "for the need", wrote, min(most-m, 1), uint64(most-m), 0)
		wantReport(t, "what was needed", readAll(t, r, more), min(most-m, 1), uint64(most-m), 0)
		wantBlocks(t, r, log.Key(), most)
	}
}

// needOf carries the need of one space to another.
func needOf(t *testing.T, from, to *Space) Need {
	t.Helper()
	var file bytes.Buffer
	if _, err := from.WriteNeed(within(t), &file); err != nil {
		t.Fatal(err)
	}
	n, err := to.ReadNeed(&file)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(n), fmt.Sprint(from.Need()); got != want {
		t.Errorf("need is %s when it arrives, was %s", got, want)
	}
	return n
}

// Bundles of any parts, in any order, make up the whole.
func TestBundlesOfParts(t *testing.T) {
	const blocks = 11
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, blocks)
	for mask := 1; mask < 1<<blocks; mask += 37 {
		r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
		part := func(in bool) []hypercore.Span {
			var spans []hypercore.Span
			for seq := range uint64(blocks) {
				if mask>>seq&1 == 1 == in {
					spans = append(spans, hypercore.Span{Start: seq, Count: 1})
				}
			}
			return spans
		}
		for _, spans := range [][]hypercore.Span{part(true), part(false)} {
			if len(spans) == 0 {
				continue
			}
			bundle, _ := bundleOf(t, w, BundleFeed(log.Key(), spans...))
			wantReport(t, fmt.Sprintf("parts %b", mask), readAll(t, r, bundle), 1, uint64(len(spans)), 0)
		}
		wantBlocks(t, r, log.Key(), blocks)
	}
}

// Who lacks blocks in the middle, of a feed that has grown since, gets these and
// the growth, also when the bundle's writer does not hold the block that proves
// it.
func TestBundleForWhoHasGaps(t *testing.T) {
	const blocks = 40
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, 7)
	r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
	part, _ := bundleOf(t, w, BundleFeed(log.Key(), hypercore.Span{Start: 1, Count: 2}, hypercore.Span{Start: 5, Count: 1}))
	readAll(t, r, part)
	for n := 7; n < blocks; n++ {
		writeIn(t, w, "log", fmt.Sprintf("block %d", n))
	}
	sparse := newNode(t, "sparse").open(secret.Address())
	part, _ = bundleOf(t, w, BundleFeed(log.Key(), hypercore.Span{Start: 0, Count: 7}, hypercore.Span{Start: 9, Count: 31}))
	readAll(t, sparse, part)
	more, wrote := bundleOf(t, sparse, BundleSince(needOf(t, r, sparse)))
	if wrote.Blocks != 38 {
		t.Errorf("%d blocks written, want those from 0 on without 7 and 8", wrote.Blocks)
	}
	wantReport(t, "with gaps", readAll(t, r, more), 1, 35, 3)
	rest, _ := bundleOf(t, w, BundleSince(r.Need()))
	wantReport(t, "the rest", readAll(t, r, rest), 1, 2, 31)
	wantBlocks(t, r, log.Key(), blocks)
}

func TestBundleOptions(t *testing.T) {
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, 2)
	writeIn(t, w, "other", "x")
	for name, opts := range map[string][]BundleOption{
		"unknown feed": {BundleFeed(keysOf(1)[0])},
		"feed twice":   {BundleFeed(log.Key()), BundleFeed(log.Key())},
		"no span":      {BundleFeed(log.Key(), hypercore.Span{Start: 1})},
		"over":         {BundleFeed(log.Key(), hypercore.Span{Start: 1, Count: 2}, hypercore.Span{Start: 2, Count: 1})},
		"too long":     {BundleFeed(log.Key(), hypercore.Span{Start: 1, Count: hypercore.Endless + 1})},
	} {
		var b bytes.Buffer
		if _, err := w.WriteBundle(within(t), &b, opts...); err == nil || b.Len() > 0 {
			t.Errorf("%s: %v, %d bytes written", name, err, b.Len())
		}
	}
	if _, err := w.WriteBundle(within(t), io.Discard, BundleFeed(keysOf(1)[0])); !errors.Is(err, ErrUnknownFeed) {
		t.Errorf("unknown feed: %v, want %v", err, ErrUnknownFeed)
	}
	_, wrote := bundleOf(t, w, BundleFeed(log.Key()), BundleSince(nil))
	wantReport(t, "one feed", wrote, 1, 2, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.WriteBundle(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("WriteBundle with an ended context: %v", err)
	}
	bundle, _ := bundleOf(t, w)
	if _, err := w.ReadBundle(ctx, bytes.NewReader(bundle)); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadBundle with an ended context: %v", err)
	}
}

func TestBundleAndPolicy(t *testing.T) {
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	wanted, other := writeIn(t, w, "wanted", "x"), writeIn(t, w, "other", "y", "z")
	bundle, _ := bundleOf(t, w)
	policy := func(o Offer) error {
		if o.Remote != nil || o.Space != secret.Address() || o.Length == 0 {
			t.Errorf("offered %+v", o)
		}
		if o.Feed == other.Key() {
			return errNotNow
		}
		return nil
	}
	r := newNode(t, "reader").open(secret.Address(), WithPolicy(policy))
	refused := 0
	r.Notify(func(e Event) {
		if e.Kind == FeedRefused && e.Key == other.Key() && errors.Is(e.Err, errNotNow) {
			refused++
		}
	})
	got := readAll(t, r, bundle)
	if got.Feeds != 1 || got.Blocks != 1 || got.Refused != 1 || refused != 1 || len(got.Faults) != 1 || got.Faults[0].Feed != other.Key() {
		t.Errorf("%+v, %d events, want one feed refused", got, refused)
	}
	if _, err := r.Feed(wanted.Key()); err != nil || r.Len() != 1 {
		t.Errorf("%d feeds, %v", r.Len(), err)
	}
	small := newNode(t, "small").open(secret.Address(), WithMaxFeeds(1))
	if got := readAll(t, small, bundle); got.Refused != 1 || !errors.Is(got.Faults[0].Err, ErrTooMany) {
		t.Errorf("with a limit of one feed: %+v", got)
	}
}

// crafted seals frames as a bundle.
func crafted(t *testing.T, address Address, magic string, messages ...wire.Message) []byte {
	t.Helper()
	var file bytes.Buffer
	b, err := newBundleWriter(&file, address, magic)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		channel := uint64(headChannel)
		if _, ok := m.(*hypercore.Data); ok {
			channel = dataChannel
		}
		if err := b.frame(channel, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.out.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// messagesOf opens a bundle.
func messagesOf(t *testing.T, address Address, bundle []byte) (all []wire.Message) {
	t.Helper()
	err := eachFrame(bytes.NewReader(bundle), address, bundleMagic, func(_ uint64, m wire.Message) error {
		all = append(all, m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The proofs of a section have few nodes, and one signature.
func TestBundleProofsAreShort(t *testing.T) {
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log, err := w.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	const blocks = sectionBlocks + 300
	batch := make([][]byte, blocks)
	if _, err := log.Append(within(t), batch...); err != nil {
		t.Fatal(err)
	}
	bundle, _ := bundleOf(t, w)
	nodes, signatures, entries := 0, 0, 0
	for _, m := range messagesOf(t, secret.Address(), bundle) {
		switch m := m.(type) {
		case *hypercore.Data:
			nodes += len(m.Nodes)
			if m.Signature != nil {
				signatures++
			}
		case *hypercore.Extension:
			entries++
		}
	}
	if most := blocks + 4*merkle.MaxProofNodes; nodes > most || signatures != 2 || entries != 2 {
		t.Errorf("%d nodes, %d signatures and %d entries for %d blocks, want at most %d, 2 and 2", nodes, signatures, entries, blocks, most)
	}
	r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
	wantReport(t, "read", readAll(t, r, bundle), 1, blocks, 0)
}
