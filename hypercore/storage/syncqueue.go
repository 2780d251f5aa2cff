package storage

import "sync"

// syncQueue is the Durable functions that Memory has still to call. Its owner's
// lock guards it; the calls are made without that lock, by one goroutine at a
// time, so that their order is that of the commits.
type syncQueue struct {
	idle    sync.Cond // of the owner's lock; woken when calling becomes false
	waiting []func(error)
	calling bool
	held    bool  // HoldSync
	failed  error // what FailSync left behind
}

func (q *syncQueue) pushLocked(durable func(error)) {
	if durable != nil {
		q.waiting = append(q.waiting, durable)
	}
}

// drainLocked calls the functions that wait, unless they are held or another
// goroutine is at it. It gives up the lock while it calls.
func (q *syncQueue) drainLocked() {
	if q.calling {
		return
	}
	q.calling = true
	for len(q.waiting) > 0 && !q.held {
		durable, err := q.waiting[0], q.failed
		q.waiting = q.waiting[1:]
		q.idle.L.Unlock()
		durable(err)
		q.idle.L.Lock()
	}
	q.calling = false
	q.idle.Broadcast()
}

// finishLocked is drainLocked that also waits for another goroutine's calls.
func (q *syncQueue) finishLocked() {
	for q.calling {
		q.idle.Wait()
	}
	q.drainLocked()
}
