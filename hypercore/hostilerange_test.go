package hypercore_test

import (
	"errors"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// olderHead returns a reader of a tree of 20 blocks, and a feed that has the first
// 10 of them under an older head.
func olderHead(t *testing.T) (reader, older *hypercore.Feed) {
	t.Helper()
	writer, _ := written(t, 10)
	older, _ = reading(t)
	for seq := uint64(10); seq > 0; seq-- {
		give(t, writer, older, seq-1)
	}
	reader, _ = reading(t)
	mustAppend(t, writer, blocksOf(10, 10)...)
	reader.SetSparse(true)
	give(t, writer, reader, 0)
	reader.SetSparse(false)
	return reader, older
}

// A range whose proof is of an older head proves nothing, and hashing it and looking
// at its signature is work. It is asked for once more later; what comes before counts
// as unasked.
func TestOlderHeadAgainAndAgain(t *testing.T) {
	for _, from := range []uint64{1, 8} {
		reader, older := olderHead(t)
		r := speak(t, reader, byRanges)
		r.hear()
		r.say(&hypercore.Have{Start: from, Length: 10 - from})
		var q *hypercore.RangeRequest
		for _, m := range r.hear() {
			if m, ok := m.(*hypercore.RangeRequest); ok && m.Start == from {
				q = m
			}
		}
		if q == nil {
			t.Fatalf("block %d was not asked for", from)
		}
		q.Length, q.Left, q.Right = 0, 0, 0
		d := answerTo(t, older, q).(*hypercore.RangeData)
		taken, err := 0, error(nil)
		for ; err == nil && taken < 2*hypercore.MaxUnasked; taken++ {
			err = r.peer.Handle(copyRange(d), r.now)
			r.hear()
		}
		if !errors.Is(err, hypercore.ErrLimit) {
			t.Errorf("from block %d on: %d answers to one request were taken, then %v", from, taken, err)
		}
	}
}
