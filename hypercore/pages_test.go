package hypercore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// scattered returns Haves of one block in each page of the first ranges.
func scattered(ranges uint64) (all []hypercore.Message) {
	var b hypercore.Bitfield
	for page := range uint64(hypercore.MaxWant / 8192) {
		b.Set(page*8192 + 9)
	}
	raw := hypercore.AppendRLE([]byte{}, &b, 0, hypercore.MaxWant)
	for n := range ranges {
		all = append(all, &hypercore.Have{Start: n * hypercore.MaxWant, Length: hypercore.MaxWant, Bitfield: raw})
	}
	return all
}

// A hundred feeds of one session that say 16.7 KB each used to cost 457 MiB.
func TestPagesOfASessionAreBounded(t *testing.T) {
	const pages = 1000
	budget := hypercore.NewPageBudget(pages)
	feeds := make([]*hypercore.Feed, 20)
	for i := range feeds {
		feeds[i] = claimed(t, 1<<30)
	}
	var peers []*hypercore.Peer
	haves := scattered(32)
	for i := range 100 {
		r := speak(t, feeds[i%len(feeds)], hypercore.PeerOptions{Pages: budget})
		peers = append(peers, r.peer)
		r.say(haves...)
		r.say(&hypercore.Have{Start: 0, Length: 1 << 30}, &hypercore.Unhave{Start: 1, Length: 1})
		if budget.Free() < 0 {
			t.Fatalf("%d pages are free", budget.Free())
		}
	}
	if budget.Free() != 0 {
		t.Errorf("%d pages are free of %d, so the test shows nothing", budget.Free(), pages)
	}
	for _, p := range peers {
		p.Detach()
		p.Detach()
	}
	if budget.Free() != pages {
		t.Errorf("%d pages are free after all, want %d", budget.Free(), pages)
	}
}

func TestPagesOfOnePeerAreBounded(t *testing.T) {
	budget := hypercore.NewPageBudget(2 * hypercore.MaxPeerPages)
	r := speak(t, claimed(t, 1<<40), hypercore.PeerOptions{Pages: budget})
	r.say(scattered(hypercore.MaxPeerPages/128 + 1)...)
	if used := 2*hypercore.MaxPeerPages - budget.Free(); used != hypercore.MaxPeerPages {
		t.Errorf("one peer has %d pages, want %d", used, hypercore.MaxPeerPages)
	}
	r.say(&hypercore.Have{Start: 0, Length: 1 << 39}) // from 0 on without a gap: no page
	if budget.Free() != 2*hypercore.MaxPeerPages {
		t.Errorf("%d pages in use for a set without a gap", 2*hypercore.MaxPeerPages-budget.Free())
	}
	short := speak(t, claimed(t, 5), hypercore.PeerOptions{Pages: budget})
	short.say(scattered(9)...)
	if used := 2*hypercore.MaxPeerPages - budget.Free(); used != hypercore.MaxWant/8192 {
		t.Errorf("%d pages for a feed of 5 blocks, want those of one range", used)
	}
}

// Small messages that change many pages are counted, and what they change within
// a minute is limited.
func TestTouchedPagesAreLimited(t *testing.T) {
	r := speak(t, claimed(t, 1<<40), hypercore.PeerOptions{})
	fill := &hypercore.Have{Start: 1, Length: 4000 * 8192}
	clear := &hypercore.Unhave{Start: 1, Length: 4000 * 8192}
	const most = hypercore.MaxTouched / 4000 // each touches 4001 pages, one of which is free
	for n := range most {
		m := hypercore.Message(fill)
		if n%2 == 1 {
			m = clear
		}
		if err := r.peer.Handle(m, r.now); err != nil {
			t.Fatalf("message %d of %d: %v", n, most, err)
		}
	}
	next := hypercore.Message(fill)
	if most%2 == 1 {
		next = clear
	}
	err := r.peer.Handle(next, r.now)
	var remote *hypercore.RemoteError
	if !errors.As(err, &remote) || !errors.Is(err, hypercore.ErrLimit) {
		t.Errorf("over the limit: %v, want a RemoteError that is ErrLimit", err)
	}
	r.now = r.now.Add(time.Minute + 1)
	r.say(fill, clear)
	for range 2 * hypercore.MaxTouched / 100 { // one page a message costs nothing
		r.say(&hypercore.Have{Start: 8192, Length: 1})
	}
}
