package hypercore

import (
	"iter"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Unusable returns a feed that stands for one that Open refused with err: it is
// empty and closed, and what can fail returns err. So a feed that is damaged can
// be listed and named beside others. See Recover.
func Unusable(key Key, err error) *Feed {
	c := newCore(unusableStorage{err}, key)
	c.unusable = err
	c.closed = true
	close(c.settled)
	return &Feed{core: c}
}

// ended returns why a closed feed does nothing.
func (c *core) ended() error {
	if c.unusable != nil {
		return c.unusable
	}
	return ErrClosed
}

// unusableStorage gives and takes nothing.
type unusableStorage struct{ err error }

func (s unusableStorage) Feeds() iter.Seq2[StoredFeed, error] {
	return func(yield func(StoredFeed, error) bool) { yield(StoredFeed{}, s.err) }
}

func (s unusableStorage) Feed(Key) (StoredFeed, error) { return StoredFeed{}, s.err }

func (s unusableStorage) Held(Key) iter.Seq2[Span, error] {
	return func(yield func(Span, error) bool) { yield(Span{}, s.err) }
}

func (s unusableStorage) Node(Key, uint64) (merkle.Node, error) { return merkle.Node{}, s.err }
func (s unusableStorage) Blocks(Key, Span) ([][]byte, error)    { return nil, s.err }
func (s unusableStorage) Record([]byte) ([]byte, error)         { return nil, s.err }

func (s unusableStorage) Records([]byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) { yield(Record{}, s.err) }
}

func (s unusableStorage) Commit(*Batch) error { return s.err }
func (s unusableStorage) Close() error        { return s.err }
