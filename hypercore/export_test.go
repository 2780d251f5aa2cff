package hypercore

// For tests of the external package.
const (
	BlockCost    = blockCost
	ExpireEvery  = expireEvery
	GrowPatience = growPatience
	MaxHaves     = maxHaves
	MaxMoved     = maxMoved
	MaxPause     = maxPause
	MaxTouched   = maxTouched
	MaxUnasked   = maxUnasked
	MaxWantsOut  = maxWantsOut
	MaxWanted    = maxWanted
)

// Owed returns how many requests and wants of the remote p remembers, and how
// many of its own requests and messages.
func (p *Peer) Owed() (requests, wants, asked, messages int) {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	return len(p.requests), len(p.wants) + len(p.again), len(p.asked), len(p.outbox) + len(p.haves)
}

// Waiting returns how many appends wait for a commit.
func (f *Feed) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue)
}

// Wanted returns how many blocks some Get waits for.
func (f *Feed) Wanted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiters)
}

// RangePatience is how long an idle remote leaves a range to another.
const RangePatience = rangePatience
