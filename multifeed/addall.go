package multifeed

import (
	"context"
	"fmt"
	"iter"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// addPortion is how many feeds AddAll checks together and stores in one commit.
const addPortion = 1024

// AddAll takes the feeds of other writers into the space, as Add does, but many in
// one commit and without opening them, and returns how many were not there before.
// In a signed space each comes with its admission, which is checked before the
// commit that it is part of, unless the admission is zero and the space's secret is
// here to make one; in an open space it is ignored. At the first feed that can't be taken
// it stops with the error that Add returns, which names the feed; those of earlier
// commits stay, those of its own are not added. At the space's limit it fills the
// space and returns ErrTooMany. It returns the error of ctx when that ends.
func (s *Space) AddAll(ctx context.Context, feeds iter.Seq2[hypercore.Key, Admission]) (added int, err error) {
	portion := make([]feedRecord, 0, addPortion)
	seen := make(map[hypercore.Key]struct{}, addPortion)
	store := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := s.addPortion(portion)
		added, portion = added+n, portion[:0]
		clear(seen)
		return err
	}
	for key, admission := range feeds {
		if _, twice := seen[key]; twice {
			continue
		}
		seen[key] = struct{}{}
		portion = append(portion, feedRecord{key: key, admission: admission})
		if len(portion) == addPortion {
			if err := store(); err != nil {
				return added, err
			}
		}
	}
	err = store()
	return added, err
}

// addPortion takes different feeds into the set after it has checked them, and
// returns how many are new.
func (s *Space) addPortion(portion []feedRecord) (added int, err error) {
	errs := make([]error, len(portion))
	onAllCores(len(portion), func(i int) { errs[i] = s.admitRecord(&portion[i]) })
	for i, err := range errs {
		if err != nil {
			return 0, fmt.Errorf("add feed %.8s: %w", portion[i].key.Discovery(), err)
		}
	}
	_, places, err := s.storeMembers(portion)
	if len(places) > 0 {
		s.tellAdded(places)
	}
	return len(places), err
}

// admitRecord checks the key of a feed and that it belongs to the space, and makes
// its admission where that is for this node to do.
func (s *Space) admitRecord(r *feedRecord) error {
	if s.address.Kind == KindOpen {
		r.admission = Admission{}
		return s.checkFeed(r.key)
	}
	if s.secret == nil || r.admission != (Admission{}) {
		return VerifyAdmission(s.address, r.key, r.admission)
	}
	r.admission = s.secret.Admit(r.key)
	return s.checkFeed(r.key)
}
