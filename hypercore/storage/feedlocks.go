package storage

import (
	"bytes"
	"slices"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// feedLocks lets one commit at a time write data files of a feed or remove
// something of it. Such a commit holds the lock from before it reads where the
// feed's last segment ends until the index says where it ends now.
type feedLocks struct {
	mu    sync.Mutex // guards locks
	locks map[hypercore.Key]*feedLock
}

type feedLock struct {
	mu    sync.Mutex
	users int // holders and waiters; guarded by feedLocks.mu
}

// lock locks the feeds of the plans that need it and returns what unlocks them.
func (l *feedLocks) lock(plans []feedPlan) (unlock func()) {
	var keys []hypercore.Key
	for i := range plans {
		if plans[i].structural() {
			keys = append(keys, plans[i].key)
		}
	}
	if len(keys) == 0 {
		return func() {}
	}
	slices.SortFunc(keys, func(a, b hypercore.Key) int { return bytes.Compare(a[:], b[:]) })
	held := make([]*feedLock, len(keys))
	l.mu.Lock()
	for i, key := range keys {
		if l.locks == nil {
			l.locks = make(map[hypercore.Key]*feedLock)
		}
		if l.locks[key] == nil {
			l.locks[key] = new(feedLock)
		}
		held[i] = l.locks[key]
		held[i].users++
	}
	l.mu.Unlock()
	for _, f := range held { // in ascending order of the keys, as everybody
		f.mu.Lock()
	}
	return func() { l.unlock(keys, held) }
}

func (l *feedLocks) unlock(keys []hypercore.Key, held []*feedLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range held {
		f.mu.Unlock()
		if f.users--; f.users == 0 {
			delete(l.locks, keys[i])
		}
	}
}
