package multifeed

import "time"

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
	// to one peer.
	MaxExtensionQueue = 1 << 20
	// MaxWaitingOpens is how many channels a peer may open for feeds that are
	// not in our set, or not yet.
	MaxWaitingOpens = 1024
	// MaxPageEntries is how many feeds one page of the list holds.
	MaxPageEntries = 256
	// MaxDropped is how many frames a minute may be dropped as meaningless:
	// closed channels, unknown types and extensions.
	MaxDropped = 4096
	// MinKeepAlive is the shortest time between two keep-alives, whatever the
	// other side asks for.
	MinKeepAlive = time.Second
	// WriteTimeout is how long one write may wait for a peer that does not read.
	WriteTimeout = 30 * time.Second
	// lastWords is how long is read on when writing fails.
	lastWords = time.Second
	// maxFlush is how many bytes of frames are gathered for one write.
	maxFlush = 64 << 10
)
