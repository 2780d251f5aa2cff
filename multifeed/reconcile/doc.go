// Package reconcile finds the difference of two feed sets in a few half round
// trips, at a cost that follows the difference. It is the state machine behind the
// feature cobox/feeds/1 and knows no streams, no clock and no goroutines. The
// messages are in interop/spec/feedset.md, "Reconciliation".
//
// # The set
//
// A Set holds a Key (a feed's discovery key) and an EntryHash (see HashEntry) for
// each feed. It belongs to whoever calls it and isn't safe for concurrent use: keep
// it under the lock that guards the feed set. Snapshot returns a view that never
// changes and that any goroutine may read; a change of the set copies what a view
// still holds, so that a view costs nothing until then.
//
// # A session
//
// Each side makes a Session from its own Snapshot and the same key (see SessionKey);
// one of the two is the initiator, as in the handshake. What the session knows is
// the snapshot: the caller tells by itself, as news, of feeds that were added or
// grew after it was taken. A Session belongs to one goroutine at a time; the caller
// holds a lock of its own around each call.
//
// The reader gives each payload of the remote to Handle, and then wakes the writer.
// The writer repeats this until there is nothing any more, and waits to be woken:
//
//	keys := s.Send(256)  // entries that the remote lacks: write them first
//	payload := s.Next()  // and then this
//	if len(keys) == 0 && payload == nil { wait }
//
// The entries of keys must be on their way before the payload that came with them,
// because a payload can say that all were sent. A key that is in the set no more is
// left out. The caller may hold an entry back for reasons of its own and send it
// later.
//
// Both sides begin with Next. When the snapshots are equal nothing follows: Equal
// and Done hold after the remote's first payload. Else Told and RemoteTold say when
// either side has sent what the other lacked, and Done when both have. An entry
// that the remote sends in return for ours is the one of its own snapshot: who sees
// that the remote's is older than what it sent just now learns nothing new, and who
// sees before it sends one that the remote's is newer may leave its own out.
//
// After Done each side may send the fingerprint of its set as it is by then with
// Confirm, and learns from Matches whether the remote's is the same.
//
// An error of Handle is always the remote's fault, and ends the session: it wraps
// ErrMalformed, ErrUnexpected or ErrLimit.
package reconcile
