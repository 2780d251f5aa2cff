package multifeed

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func (s *Space) movingRecord(key hypercore.Key) hypercore.Record {
	return hypercore.Record{Key: s.spaceRecord(movingPrefix, key[:]), Value: []byte{1}}
}

// moveAll appends again what is to be appended again of retired feeds. What fails
// is tried again when the space is opened. The caller holds retiring.
func (s *Space) moveAll(ctx context.Context) error {
	prefix := s.spaceRecord(movingPrefix, nil)
	var keys []hypercore.Key
	for rec, err := range s.store.Storage().Records(prefix) {
		if err != nil {
			return err
		}
		if rest := rec.Key[len(prefix):]; len(rest) == hypercore.KeySize {
			keys = append(keys, hypercore.Key(rest))
		}
	}
	var errs []error
	for _, key := range keys {
		if err := s.move(ctx, key); err != nil {
			errs = append(errs, fmt.Errorf("append blocks of feed %.8s again: %w", key.Discovery(), err))
		}
	}
	return errors.Join(errs...)
}

// move appends the blocks of a retired feed that may be nowhere else to the writer
// of its name, and takes those that nobody was shown from the feed. Cut off, it is
// done once more, and then some are appended twice.
func (s *Space) move(ctx context.Context, key hypercore.Key) error {
	f, err := s.Feed(key)
	if errors.Is(err, ErrUnknownFeed) { // the space was forgotten meanwhile
		return s.commitRecords([]hypercore.Record{{Key: s.movingRecord(key).Key}})
	}
	if err != nil {
		return err
	}
	if f.damaged != nil {
		return f.damaged
	}
	from := f.movesFrom()
	if length := f.Length(); from < length {
		w, err := s.writer(f.Name())
		if err != nil {
			return err
		}
		if _, err := w.Feed.AppendSeq(ctx, f.contents(ctx, from, length)); err != nil {
			return err
		}
	}
	_, err = f.DropUnseen(ctx, hypercore.Record{Key: s.movingRecord(key).Key})
	return err
}

// maxAgain is how many blocks of a forked feed are appended again for those alone
// who have the other branch, and refuse them in their old place.
const maxAgain = 4096

// movesFrom returns the first block that is to be appended again: the first that
// nobody was shown, or of a feed that has forked the first that others may refuse.
func (f *Feed) movesFrom() uint64 {
	shown, agreed := f.Shown()
	if f.Evidence() == nil {
		return shown.Length
	}
	if common := f.Common(); common > agreed || agreed-common <= maxAgain {
		return common
	}
	return agreed
}

// contents yields the blocks from one to before another that are stored here,
// opened.
func (f *Feed) contents(ctx context.Context, from, to uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for seq := from; seq < to; seq++ {
			if !f.Has(hypercore.Span{Start: seq, Count: 1}) {
				continue
			}
			b, err := f.Get(ctx, seq)
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// startMove appends again what others refuse of a feed that was retired before it
// was found to have forked.
func (s *Space) startMove(f *Feed) {
	s.background(func(ctx context.Context) {
		s.retiring.Lock()
		defer s.retiring.Unlock()
		err := s.commitRecords([]hypercore.Record{s.movingRecord(f.Key())})
		if err == nil {
			err = s.moveAll(ctx)
		}
		if err != nil {
			s.log.Error("blocks of a forked feed not appended again", "feed", fmt.Sprintf("%.8s", f.Discovery()), "err", err)
		}
	})
}
