package hypercore_test

import (
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func TestEventsOfAFeed(t *testing.T) {
	writer, _ := written(t, 0)
	reader, _ := reading(t)
	var got []hypercore.EventKind
	var grown, stored uint64
	var from *hypercore.Peer
	stop := reader.Notify(func(e hypercore.Event) {
		got = append(got, e.Kind)
		switch e.Kind {
		case hypercore.Grown:
			if e.Span.Start != grown || e.From != from {
				t.Errorf("Grown by %+v from %p, want from block %d and %p on", e.Span, e.From, grown, from)
			}
			grown += e.Span.Count
		case hypercore.Stored:
			stored += e.Span.Count
		case hypercore.PeerAdded:
			from = e.From
		}
	})
	defer stop()
	w := newWorld(t, 1)
	x, y := w.link("wr", writer, reader)
	mustAppend(t, writer, blocksOf(0, 9)...)
	w.settle(0)
	if from != y.peer || grown != 9 || stored != 9 {
		t.Errorf("%d grown, %d stored, from %p", grown, stored, from)
	}
	if s, p := writer.Stats(), x.peer.Stats(); s != p || s.SentBlocks != 9 {
		t.Errorf("stats of the feed %+v and its peer %+v, want 9 sent", s, p)
	}
	w.cut(x)
	w.link("wr", writer, reader)
	got = nil
	reader.Close()
	reader.Close()
	if !slices.Equal(got, []hypercore.EventKind{hypercore.PeerRemoved, hypercore.Closed}) {
		t.Errorf("events at Close = %v", got)
	}
}
