package storage

import "github.com/cobox-p2p/cobox-p2p/hypercore"

// maxHot is how many feeds hotFeeds remembers, at about 700 bytes each.
const maxHot = 1 << 11

// hotFeeds is what the index holds of feeds that were written lately: the head
// record and the page of held blocks that was written last. The next commit to
// such a feed, which mostly appends, has to read nothing.
type hotFeeds map[hypercore.Key]*hotFeed

type hotFeed struct {
	rec    headRecord
	paged  bool // number and bits are set
	number uint64
	bits   heldBits
}

// note remembers what an applied batch has left.
func (h hotFeeds) note(feeds []feedWriter) {
	for i := range feeds {
		f := &feeds[i]
		if !f.plan.write {
			delete(h, f.plan.key)
			continue
		}
		hot := h[f.plan.key]
		if hot == nil {
			if len(h) >= maxHot {
				clear(h)
			}
			hot = new(hotFeed)
			h[f.plan.key] = hot
		}
		hot.rec = f.rec
		if f.held.active {
			hot.paged, hot.number, hot.bits = true, f.held.number, f.held.bits
		} else if f.plan.drop || len(f.plan.clear) > 0 {
			hot.paged = false
		}
	}
}
