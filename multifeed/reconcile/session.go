package reconcile

import "fmt"

// Session is one side of a reconciliation. See the package for who calls what
// when. It holds its snapshot and a few bytes for each part of it that differs.
type Session struct {
	set       *Snapshot
	keyed     *keyed
	initiator bool
	err       error // of Handle, for good

	opened bool // our first payload was made
	met    bool // the remote's came
	equal  bool // Invariant: implies met
	others uint64

	mine    bool    // it is our turn; else it is the remote's, when met and not settled
	asking  bool    // the turn that goes on says what must be answered
	turn    int     // payloads of the turn that goes on
	room    int     // payloads of our turns: MaxTurnPayloads, but in tests
	more    [2]bool // the last turn of ours, and of the remote, left something to be said
	settled bool    // both sides have said all, but for entries

	say     []saying          // to be said in our turns, from the front
	heard   bool              // the remote has spoken of the root
	shown   map[prefix]*shown // inner nodes of ours whose children the remote may speak of
	listed  map[prefix]*node  // leaves of ours of which the remote may say what it wants
	owed    []owed            // what the remote lacks; taken from the end
	scans   int               // of owed: not yet known what we lack
	told    bool              // we said that we sent all
	gotTold bool              // the remote did
	last    *[32]byte         // our fingerprint at the end, until it is said
	said    bool              // it was
	gotLast *[wholeSize]byte  // the remote's

	spent struct{ bytes, turns, prints, ids int } // by the remote
}

// Places in Session.more.
const (
	ours = iota
	theirs
)

// saying is what has to be said of a node: its children's fingerprints when it is
// an inner node, its list when it is a leaf, or with want which of the remote's
// list we lack.
type saying struct {
	at   prefix
	node *node
	want uint64 // places in the remote's list
}

// shown is an inner node whose children's fingerprints the remote has.
type shown struct {
	node  *node
	heard [rootFanout / 64]uint64 // children that the remote has spoken of
}

// NewSession returns a session of our side for that view of our set. The key is
// that of both sides, see SessionKey, and exactly one side is the initiator.
func NewSession(set *Snapshot, key [32]byte, initiator bool) *Session {
	return &Session{
		set: set, keyed: newKeyed(key), initiator: initiator, room: MaxTurnPayloads,
		shown: map[prefix]*shown{}, listed: map[prefix]*node{},
	}
}

// Equal says whether both sides began with equal sets.
func (s *Session) Equal() bool { return s.equal }

// Met says whether the remote's first payload came.
func (s *Session) Met() bool { return s.met }

// RemoteLen returns how many feeds the remote says it has, 0 before it is Met.
func (s *Session) RemoteLen() uint64 { return s.others }

// Told says whether all keys were taken from Send, and Next said so to the remote.
func (s *Session) Told() bool { return s.equal || s.told }

// RemoteTold says whether the remote has sent all that this side lacked, but for
// what it holds back.
func (s *Session) RemoteTold() bool { return s.equal || s.gotTold }

// Done says whether there is nothing more to do: Told and RemoteTold.
func (s *Session) Done() bool { return s.Told() && s.RemoteTold() }

// Confirm lets Next tell the remote the fingerprint of our set at the end. It is
// ignored before Done, and when it was called before.
func (s *Session) Confirm(fingerprint [32]byte) {
	if s.Done() && !s.said {
		s.last, s.said = &fingerprint, true
	}
}

// Matches says whether the remote has told its fingerprint at the end, and whether
// it is that one. That it is another is no fault: both sets go on changing.
func (s *Session) Matches(fingerprint [32]byte) (equal, known bool) {
	if s.gotLast == nil {
		return false, false
	}
	return s.keyed.again(fingerprint) == *s.gotLast, true
}

func (s *Session) fail(err error) error {
	s.err, s.say, s.owed, s.shown, s.listed = err, nil, nil, nil, nil
	return err
}

func unexpected(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnexpected, fmt.Sprintf(format, args...))
}
