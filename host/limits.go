package host

import "time"

// Limits of what strangers can make this node do. See interop/spec/spaces.md,
// "Limits".
const (
	MaxUnproved    = 16    // streams of one peer that wait for its proof
	MaxUnprovedAll = 256   // streams of all peers that wait for a proof
	MaxUnknownTags = 32    // handshakes of one peer in unknownTagWindow that may be refused
	MaxSearches    = 32    // exchanges of tags that one peer may begin in searchWindow
	MaxTags        = 4096  // tags in one message
	MinTags        = 16    // tags in one message, random ones included
	maxGatePeers   = 4096  // peers whose refusals are counted
	MaxSpaces      = 16384 // spaces joined at once
	MaxPeers       = 64    // peers of one space, unless WithMaxPeers says otherwise
	MaxCandidates  = 1024  // peers of one space that are remembered for offering it
	MaxDials       = 16    // peers that are dialled at once
	maxSpaceDials  = 8     // of them for one space
	maxFailures    = 16    // tries in a row after which a candidate is forgotten
	// MaxTurns is how many sessions this side lets run with one peer, whichever
	// side opened them. The rest of MaxPeerStreams is for handshakes and for what
	// the other side opens at the same time.
	MaxTurns         = 160
	turnSlack        = 16          // sessions beyond it that the peer may open
	maxPeerOpening   = 8           // handshakes that this side has under way with one peer; see MaxUnproved
	maxStatusTries   = 64          // candidates that a Status names
	searchWindow     = time.Minute // see MaxSearches
	unknownTagWindow = time.Minute // see MaxUnknownTags
)

// How long things may take.
const (
	DialTimeout   = 20 * time.Second // until a connection stands
	SearchTimeout = 10 * time.Second // for one exchange of tags
	// duplicateGrace is how long a peer counts as present after its stream was
	// ended as a duplicate: the other stream may still be in its handshake.
	duplicateGrace = 12 * time.Second
	// openerGrace is how long the peer with the larger ID waits for the other
	// to open a space that both were found to share.
	openerGrace = 5 * time.Second
	// serveInterval is how often it is looked whether there is room, while some
	// wait for it.
	serveInterval = 50 * time.Millisecond
	// longSession is how long a session must have lasted for its end to count as
	// the first failure, not as one more.
	longSession = time.Minute
)

// turnRules say when sessions with one peer make room for other spaces.
type turnRules struct {
	limit int // see MaxTurns
	slack int // see turnSlack
	// A session that is settled makes room when it was silent for quiet, any other
	// one when it was silent for stalled or has lasted for served.
	quiet, stalled, served time.Duration
	parked                 time.Duration // how long a session is parked without news, and up to twice as long
}

var defaultTurns = turnRules{
	limit: MaxTurns, slack: turnSlack,
	quiet: 500 * time.Millisecond, stalled: 10 * time.Second, served: time.Minute, parked: time.Hour,
}
