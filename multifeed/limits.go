package multifeed

import (
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// Limits of what a peer can influence. Those of frames are in package wire,
// those of one feed's replication in package hypercore.
const (
	// MaxFeeds is how many feeds a space has unless WithMaxFeeds says otherwise.
	MaxFeeds = 10_000
	// MaxName is the longest name of a writer, a node or an extension in bytes.
	MaxName = 64
	// MaxAboutFields is the longest application part of an About in bytes.
	MaxAboutFields = 1 << 10
	// MaxExtensions is how many extensions an application registers on a space.
	MaxExtensions = 32
	// MaxExtensionMessage is the longest message of an extension in bytes.
	MaxExtensionMessage = 256 << 10
	// MaxExtensionQueue is how many bytes of extension messages wait to be sent
	// to one peer. Each message counts for 64 bytes more than it has.
	MaxExtensionQueue = 1 << 20
	// MaxEntries is how many entries of the feed set a peer may send in a minute.
	MaxEntries = 2*MaxFeeds + 4096
	// MaxOpens is how many channels a peer may open in a minute. Where
	// WithMaxFeeds allows more than MaxFeeds, it grows by two for each.
	MaxOpens = 2*MaxFeeds + 4096
	// MaxWaitingOpens is how many channels a peer may open for feeds that are
	// not in our set, or not yet.
	MaxWaitingOpens = 1024
	// MaxPageEntries is how many feeds one page of the list holds.
	MaxPageEntries = 256
	// MaxPageForks is how many proofs of forks one page of the list holds.
	MaxPageForks = 16
	// MaxDropped is how many frames a minute may be dropped as meaningless:
	// closed channels, unknown types and extensions.
	MaxDropped = 4096
	// MaxFeedsMessage is the longest message of cobox/feeds/1 in bytes.
	MaxFeedsMessage = 64<<10 + 1<<10
	// MaxFeedsTold is how many entries, standings and forks of cobox/feeds/1 a peer
	// may send in a minute: enough for the first meeting with a million feeds in two
	// minutes. We send half of it, as with maxTold.
	MaxFeedsTold = 1 << 20
	// MaxLacksNamed is how many feeds a side names of which it lacks blocks.
	MaxLacksNamed = 1024
	// MaxWindow is how many channels a session opens at once for feeds of which
	// this side lacks blocks.
	MaxWindow = 1024
	// maxRemoteOpen is how many channels of feeds of our set a peer with
	// cobox/feeds/1 may have open at once: its own window, and answers to ours.
	maxRemoteOpen = 2 * MaxWindow
	// maxHeads is how many verified heads of feeds that are not open are remembered
	// in a session, so that their signatures are checked once.
	maxHeads = 16 << 10
	// maxLate is how many frames in a minute may come on channels that we have
	// closed and the remote hasn't.
	maxLate = 1 << 18
	// MinKeepAlive is the shortest time between two keep-alives, whatever the
	// other side asks for: half of the shortest silence that a Hello can name.
	MinKeepAlive = wire.MinSilence * time.Millisecond / 2
	// WriteTimeout is how long a peer may take to read maxWrite bytes, or what
	// there is.
	WriteTimeout = 30 * time.Second
	// maxTold is how many entries we send in a minute: as any minute of the
	// remote's lies in two of ours, it never counts more than MaxEntries.
	maxTold = MaxEntries / 2
	// queueCost is what a message counts for in MaxExtensionQueue beside its
	// bytes.
	queueCost = 64
	// maxPages is how many pages of 8,192 blocks of what one peer says that it
	// holds are kept, of all feeds together: 6 MiB.
	maxPages = 6 << 10
	// lastWords is how long is read on when writing fails.
	lastWords = time.Second
	// maxWrite is how many bytes one write has at most.
	maxWrite = 256 << 10
	// maxFlush is how many bytes of frames are gathered for one write.
	maxFlush = 64 << 10
	// keptBuffer is how large a buffer of frames may become and stay.
	keptBuffer = 4 * maxFlush
)
