package hypercore

import "errors"

// AppendDrop adds to b what removes the feed of key with all that st has of it,
// records included, but for those that say what its writer has signed here: after
// they are gone, a second history could be signed. The feed must not be open when b is committed.
func AppendDrop(b *Batch, st Storage, key Key) error {
	b.Feeds = append(b.Feeds, FeedWrite{Key: key, Drop: true})
	for r, err := range st.Records(clearedRecords(key)) {
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		if err == nil {
			b.Records = append(b.Records, Record{Key: r.Key})
		}
	}
	return nil
}
