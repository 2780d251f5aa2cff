package corestore

import "github.com/cobox-p2p/cobox-p2p/hypercore"

type watcher struct {
	f func(hypercore.Key, hypercore.Event)
}

// Notify calls f for every event of every feed of the store, whoever opened it,
// until stop is called. A feed's first event is hypercore.Opened and its last
// one hypercore.Closed. The rules of hypercore.Feed's Notify hold for f; it must
// not acquire or release feeds either.
func (s *Store) Notify(f func(hypercore.Key, hypercore.Event)) (stop func()) {
	w := &watcher{f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[w] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
}

// tell passes an event on.
func (s *Store) tell(key hypercore.Key, e hypercore.Event) {
	s.mu.Lock()
	watchers := make([]*watcher, 0, len(s.watchers))
	for w := range s.watchers {
		watchers = append(watchers, w)
	}
	s.mu.Unlock()
	for _, w := range watchers {
		w.f(key, e)
	}
}
