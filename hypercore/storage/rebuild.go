package storage

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Rebuild tells of the last time that the index of a store was made anew, from
// what the lost or damaged one still gave and from the data files. All that it
// says of feeds was right when the rebuild ended.
type Rebuild struct {
	When time.Time
	Why  string // what was wrong with the old index
	// Old is the folder of the store in which the old index lies now, "" when
	// there was none. Nothing ever deletes it.
	Old string
	// Complete says that every record of the old index could be read. If not,
	// no feed of the store may be written any more by who has its keys: its end
	// may be lost, and peers may have it. See interop/spec/keys.md, "Copies of a
	// writer".
	Complete bool
	// Losses says in words what couldn't be read, at most maxLosses lines.
	Losses []string

	Feeds   uint64 // feeds that the store has now
	Blocks  uint64 // held blocks of all feeds
	Bytes   uint64 // of these
	Records uint64 // other records that were kept
	// Lost counts the blocks of all feeds that were held, as far as that is
	// known, and are not held any more. They can be fetched again.
	Lost uint64
	// Stray counts data files of which no feed is known. They are kept.
	Stray      uint64
	StrayBytes uint64
	// Damaged tells of the feeds that lost something, as far as that is known,
	// the first MaxRebuiltFeeds; DamagedFeeds counts all.
	Damaged      []RebuiltFeed
	DamagedFeeds uint64
}

// MaxRebuiltFeeds is how many feeds a Rebuild names.
const MaxRebuiltFeeds = 1000

// RebuiltFeed is what a Rebuild left of one feed.
type RebuiltFeed struct {
	Key    hypercore.Key
	Length uint64 // of the head that was kept
	// Signed is the length of the longest signed head that was found. Where it is
	// more than Length, the tree of that head could not be put together.
	Signed    uint64
	Blocks    uint64           // held
	Bytes     uint64           // of these
	Lost      uint64           // blocks that were held and are not any more
	LostSpans []hypercore.Span // of these, the first MaxLostSpans
}

// damaged says whether the feed is known to have lost something.
func (f *RebuiltFeed) damaged() bool { return f.Lost > 0 || f.Signed > f.Length }

// rebuiltKey is where the index keeps the Rebuild that made it, as JSON.
var rebuiltKey = []byte("\x00rebuilt")

// Rebuilt returns how the store's index was made, when it had to be made from the
// rest of a lost or damaged one, now or in an earlier run of the program; else
// nil. The caller must not change it.
func (s *Store) Rebuilt() *Rebuild { return s.rebuilt }

// loadRebuilt reads the Rebuild that made the index. An unreadable one is as
// good as none.
func (s *Store) loadRebuilt() error {
	value, ok, err := s.get(rebuiltKey)
	if err != nil || !ok {
		return err
	}
	r := new(Rebuild)
	if err := json.Unmarshal(value, r); err != nil {
		s.log.Warn("record of a rebuild can't be read", "err", err)
		return nil
	}
	s.rebuilt = r
	return nil
}

// String says it in one line.
func (r *Rebuild) String() string {
	if r == nil {
		return "never rebuilt"
	}
	return fmt.Sprintf("index rebuilt at %s because %s: %d feeds and %d blocks kept, %d blocks known to be lost in %d feeds",
		r.When.UTC().Format(time.RFC3339), r.Why, r.Feeds, r.Blocks, r.Lost, r.DamagedFeeds)
}
