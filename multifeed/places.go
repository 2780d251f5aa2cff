package multifeed

import "github.com/cobox-p2p/cobox-p2p/hypercore"

// places is a queue of places in a space's set, each at most once.
type places struct {
	queue []uint32
	in    hypercore.Bitfield
}

func (p *places) add(place uint32) {
	if p.in.Get(uint64(place)) {
		return
	}
	p.in.Set(uint64(place))
	p.queue = append(p.queue, place)
}

func (p *places) len() int { return len(p.queue) }

// pop takes out the place that came first.
func (p *places) pop() (place uint32, ok bool) {
	if len(p.queue) == 0 {
		return 0, false
	}
	place = p.queue[0]
	if p.queue = p.queue[1:]; len(p.queue) == 0 {
		*p = places{}
		return place, true
	}
	p.in.ClearRange(uint64(place), 1)
	return place, true
}
