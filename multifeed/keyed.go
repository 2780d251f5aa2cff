package multifeed

import (
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// ErrNoPair is returned for a feed whose keys didn't come with it.
var ErrNoPair = errors.New("multifeed: the feed has no keys of its own here")

// AddWriter takes a feed into the space that comes with its keys, as the writers
// of an older software do, which no master key here gives back. It stays
// read-only until Confirm: two programs that write one feed sign two histories.
// It returns what Writer returns, and the feed, also when it was there before.
func (s *Space) AddWriter(pair hypercore.KeyPair, name string) (*Feed, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if !pair.Valid() {
		return nil, ErrNoPair
	}
	if err := s.checkFeed(pair.Public); err != nil {
		return nil, err
	}
	r := feedRecord{key: pair.Public, name: name, seed: pair.SecretKey()[:hypercore.SeedSize]}
	if s.address.Kind == KindSigned {
		if s.secret == nil {
			return nil, ErrNoSecret
		}
		r.admission = s.secret.Admit(r.key)
	}
	if _, err := s.addFeed(r); err != nil {
		return nil, err
	}
	return s.changeRecord(r.key, func(now *feedRecord) error {
		if now.seed == nil && now.name == "" {
			now.name, now.seed = r.name, r.seed // it came from a peer before
		}
		return nil
	})
}

// Confirm makes a feed of AddWriter writable: its owner says that nothing else
// writes it any more. It returns ErrNoPair for other feeds, hypercore.ErrOldCopy
// for one that was surrendered or retired, ErrNoKey and ErrNoSecret as Writer
// does.
func (s *Space) Confirm(key hypercore.Key) (*Feed, error) {
	if s.key == nil {
		return nil, ErrNoKey
	}
	if s.address.Kind == KindSigned && s.secret == nil {
		return nil, ErrNoSecret
	}
	return s.changeRecord(key, func(r *feedRecord) error {
		if r.seed == nil {
			return ErrNoPair
		}
		r.ours = true
		return nil
	})
}

// Surrender ends the writing of an own feed here, for good and durably, and
// returns its keys for another program to go on with. Called again it returns
// them again.
func (s *Space) Surrender(key hypercore.Key) (hypercore.KeyPair, error) {
	f, err := s.Feed(key)
	if err != nil {
		return hypercore.KeyPair{}, err
	}
	r, err := s.readRecord(key)
	if err != nil {
		return hypercore.KeyPair{}, err
	}
	pair, ok := r.pair()
	if !ok && r.name != "" {
		pair = s.store.NamedPair(writerName(s.address, r.name, r.instance))
		ok = pair.Public == key
	}
	if !ok {
		return pair, fmt.Errorf("%w: %.8s", ErrNoPair, f.Discovery())
	}
	if !f.Own() {
		err = f.Unlock(pair) // so that Stop is remembered
	}
	f.ShowHead() // whoever gets the keys has the blocks
	if err == nil {
		err = f.Stop()
	}
	if err == nil {
		err = f.SaveShown()
	}
	if err != nil {
		return pair, fmt.Errorf("surrender feed %.8s: %w", f.Discovery(), err)
	}
	f.own.Store(false)
	return pair, nil
}

// changeRecord changes what is stored of a member, durably, and returns its Feed
// as it is then.
func (s *Space) changeRecord(key hypercore.Key, change func(*feedRecord) error) (*Feed, error) {
	s.adding.Lock()
	defer s.adding.Unlock()
	f, err := s.Feed(key)
	if err != nil {
		return nil, err
	}
	r, err := s.readRecord(key)
	if err != nil {
		return nil, err
	}
	if err := change(&r); err != nil {
		return nil, err
	}
	if err := s.putRecord(r); err != nil {
		return nil, fmt.Errorf("change feed %.8s: %w", f.Discovery(), err)
	}
	if pair, ok := r.pair(); ok && r.ours && !f.Own() {
		if err := f.Unlock(pair); err != nil {
			return nil, err
		}
		if !f.Writable() {
			return nil, fmt.Errorf("feed %.8s: %w", f.Discovery(), hypercore.ErrOldCopy)
		}
		f.ShowHead() // the other program has shown what is there
		if err := f.SaveShown(); err != nil {
			return nil, err
		}
		f.own.Store(true)
		s.noteChange()
	}
	return f, nil
}

// putRecord returns when the record is durable.
func (s *Space) putRecord(r feedRecord) error {
	done := make(chan error, 1)
	err := s.store.Storage().Commit(&hypercore.Batch{
		Records: []hypercore.Record{{Key: append(s.recordPrefix(), r.key[:]...), Value: r.encode()}},
		Urgent:  true,
		Durable: func(err error) { done <- err },
	})
	if err != nil {
		return err
	}
	return <-done
}
