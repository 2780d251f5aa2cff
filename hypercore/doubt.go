package hypercore

import "time"

// doubtLocked returns a request for the hash of the first block of a feed written
// here that nobody was shown, when the remote says that it holds that block or one
// behind it: then somebody else has written it, and the answer shows whether it is
// another one. It is asked once for each length that the remote tells. A remote that
// is not asked for hashes is asked for the block if it holds it.
func (p *Peer) doubtLocked(now time.Time) *Request {
	c := p.feed
	if !c.keys.Valid() || !c.unseenLocked() || !p.download || !p.paused.IsZero() {
		return nil
	}
	seq := c.own.shown.Length
	if p.remoteEnd <= max(seq, p.doubted) || !p.maySendLocked(seq) || p.noHashes && !p.remote.Get(seq) {
		return nil
	}
	p.doubted = p.remoteEnd
	return p.noteLocked(seq, !p.noHashes, now)
}
