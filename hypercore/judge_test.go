package hypercore_test

import (
	"errors"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// askedWithDigest returns a reader of the first 4 blocks of a feed of 9 that
// asked one remote for block 5 and said what it holds, and that request's digest.
func askedWithDigest(t *testing.T) (*hypercore.Feed, *remote, uint64) {
	t.Helper()
	f, _ := reading(t)
	writer, _ := written(t, 4)
	for seq := range uint64(4) {
		give(t, writer, f, seq)
	}
	r := speak(t, f, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Have{Start: 5, Length: 1}, &hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}})
	got := r.hear()
	if len(got) != 1 || got[0].(*hypercore.Request).Index != 5 || got[0].(*hypercore.Request).Nodes == 0 {
		t.Fatalf("asked for %s, want block 5 with a digest", list(got))
	}
	return f, r, got[0].(*hypercore.Request).Nodes
}

// A proof that doesn't fit what we said to hold is asked for once more in full;
// only that answer is judged.
func TestShortenedProofIsAskedForInFull(t *testing.T) {
	writer, _ := written(t, 9)
	good, err := writer.Prove(5, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*hypercore.Data){
		"node missing": func(d *hypercore.Data) { d.Nodes = d.Nodes[1:] },
		"signature":    func(d *hypercore.Data) { d.Signature[5] ^= 1 },
		"contradicts":  func(d *hypercore.Data) { d.Nodes[0].Hash[0] ^= 1 },
	} {
		bad := copyData(good)
		change(bad)
		f, r, _ := askedWithDigest(t)
		r.say(bad)
		r.expect(&hypercore.Request{Index: 5})
		r.say(copyData(good))
		if !f.Has(hypercore.Span{Start: 5, Count: 1}) {
			t.Errorf("%s: the full proof was not taken", name)
		}
		_, r, _ = askedWithDigest(t)
		r.say(copyData(bad))
		r.hear()
		var remote *hypercore.RemoteError
		if err := r.peer.Handle(copyData(bad), r.now); !errors.As(err, &remote) || !errors.Is(err, merkle.ErrProof) {
			t.Errorf("%s, twice: %v, want a RemoteError", name, err)
		}
	}
}

// An answer in full counts as one that nobody asked for.
func TestAskingInFullIsCounted(t *testing.T) {
	writer, _ := written(t, 9)
	_, r, digest := askedWithDigest(t)
	bad, err := writer.Prove(5, digest, false)
	if err != nil {
		t.Fatal(err)
	}
	bad.Value = []byte("made up")
	for range hypercore.MaxUnasked {
		r.say(&hypercore.Data{Index: 1})
	}
	if err := r.peer.Handle(bad, r.now); !errors.Is(err, hypercore.ErrLimit) {
		t.Errorf("over the limit: %v, want ErrLimit", err)
	}
}

// A remote asked before our head grew may answer with a longer tree that isn't
// shown to continue it. That is nobody's fault.
func TestProofOfALongerTreeThatMissesOursIsNoFault(t *testing.T) {
	writer, wst := written(t, 4)
	reader, rst := reading(t)
	for seq := range uint64(4) {
		give(t, writer, reader, seq)
	}
	mustAppend(t, writer, blocksOf(4, 1)...)
	next, err := writer.Prove(4, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, writer, blocksOf(5, 3)...)
	r := speak(t, reader, hypercore.PeerOptions{NoHashes: true})
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}}, &hypercore.Have{Start: 6, Length: 2})
	got := r.hear()
	if len(got) != 1 || got[0].(*hypercore.Request).Index != 6 {
		t.Fatalf("asked for %s, want block 6", list(got))
	}
	answer, err := writer.Prove(6, got[0].(*hypercore.Request).Nodes, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if err := reader.Apply(t.Context(), copyData(answer)); !errors.Is(err, merkle.ErrProofBranch) {
		t.Fatalf("Apply = %v, want ErrProofBranch: the test shows nothing", err)
	}
	r.say(answer)
	for range hypercore.MaxUnasked {
		r.say(copyData(answer))
	}
	if err := r.peer.Handle(copyData(answer), r.now); !errors.Is(err, hypercore.ErrLimit) {
		t.Errorf("the same answer over and over: %v, want ErrLimit", err)
	}
	checkSame(t, "reader", reader, writer, rst, wst)
	if reader.Length() != 5 {
		t.Errorf("length = %d, want 5", reader.Length())
	}
}
