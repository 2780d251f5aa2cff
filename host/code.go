package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// What ends streams from here, besides multifeed.ErrLeft. Each says its code.
var (
	errShutdown  = &multifeed.ProtocolError{Code: multifeed.CodeShutdown, Reason: "this node's networker was closed"}
	errDuplicate = &multifeed.ProtocolError{Code: multifeed.CodeDuplicate, Reason: "another stream of this peer and space stays"}
	errFull      = &multifeed.ProtocolError{Code: multifeed.CodeLimit, Reason: "the space has as many peers here as its limit allows"}
	errBarred    = &multifeed.ProtocolError{Code: multifeed.CodeLimit, Reason: "the peer was at fault shortly before"}
)

// received returns the code with which the peer reset a stream. It may be one of
// libp2p, or CodeNone.
func received(err error) (multifeed.Code, bool) {
	if s, ok := errors.AsType[*network.StreamError](err); ok && s.Remote {
		return multifeed.Code(s.ErrorCode), true
	}
	return multifeed.CodeNone, false
}

// pace says when a peer is tried again and whether its own streams are refused
// meanwhile.
type pace struct {
	base, most time.Duration // most is 0 for a pause that doesn't grow
	bars       bool
}

// The paces. See interop/spec/spaces.md, "Trying again".
var (
	paceOrderly   = &pace{base: 30 * time.Second}                              // the peer closed, left or stops
	paceDuplicate = &pace{base: time.Second}                                   // the peer has another stream
	paceTurn      = &pace{base: time.Second, most: time.Minute}                // another space needs the room
	paceNetwork   = &pace{base: time.Second, most: 10 * time.Minute}           // the way to the peer, or either side's trouble
	paceRefused   = &pace{base: time.Minute, most: time.Hour}                  // the peer does not want us, or doesn't know the space
	paceFault     = &pace{base: 30 * time.Second, most: time.Hour, bars: true} // the peer broke the rules
)

// paces of the codes that end sessions; any other is paceNetwork.
var (
	receivedPaces = map[multifeed.Code]*pace{
		multifeed.CodeNone: paceNetwork, multifeed.CodeDuplicate: paceDuplicate,
		multifeed.CodeLeft: paceOrderly, multifeed.CodeShutdown: paceOrderly, multifeed.CodeFork: paceOrderly,
		multifeed.CodeTurn: paceTurn, multifeed.CodeRefused: paceRefused, multifeed.CodePolicy: paceRefused, multifeed.CodeVersion: paceRefused,
		multifeed.CodeProtocol: paceRefused, multifeed.CodeProof: paceRefused, multifeed.CodeLimit: paceRefused,
	}
	ownPaces = map[multifeed.Code]*pace{
		multifeed.CodeTurn: paceTurn, multifeed.CodeDuplicate: paceDuplicate, multifeed.CodeLeft: paceOrderly, multifeed.CodeShutdown: paceOrderly, multifeed.CodeFork: paceOrderly,
		multifeed.CodeRefused: paceRefused, multifeed.CodePolicy: paceRefused, multifeed.CodeVersion: paceRefused,
		multifeed.CodeProtocol: paceFault, multifeed.CodeProof: paceFault, multifeed.CodeLimit: paceFault,
	}
)

// judge says what the end of a try or of a session means for the next one.
func judge(err error) *pace {
	if err == nil {
		return paceOrderly
	}
	if errors.Is(err, ErrNotAllowed) || errors.Is(err, ErrNotSpoken) {
		return paceRefused
	}
	if code, ok := received(err); ok {
		if p := receivedPaces[code]; p != nil {
			return p
		}
		return paceNetwork
	}
	if err == errFull || err == errBarred {
		return paceOrderly
	}
	if p := ownPaces[multifeed.CodeOf(err)]; p != nil {
		return p
	}
	return paceNetwork
}

// words are what a code that the peer sent means.
var words = map[multifeed.Code]string{
	multifeed.CodeNone:      "the peer dropped the stream",
	multifeed.CodeRefused:   "the peer does not know the space, or does not tell",
	multifeed.CodeProtocol:  "the peer says that this node broke the protocol",
	multifeed.CodeLimit:     "the peer says that a limit of its own is reached",
	multifeed.CodeTimeout:   "the peer found this node too slow",
	multifeed.CodeVersion:   "the peer speaks another major version",
	multifeed.CodeDuplicate: "the peer keeps another stream",
	multifeed.CodeLeft:      "the peer left the space",
	multifeed.CodeInternal:  "the peer failed for a reason of its own",
	multifeed.CodeProof:     "the peer says that this node sent something invalid",
	multifeed.CodePolicy:    "the peer's owner does not want this node",
	multifeed.CodeShutdown:  "the peer stops",
	multifeed.CodeTurn:      "the peer has no room for the space now",
	multifeed.CodeFork:      "the peer holds another history of a feed, whose writer signed both",

	multifeed.Code(network.StreamResourceLimitExceeded): "the peer has no resources left for another stream",
}

// inWords tells a person why a try or a session ended; "" for nil.
func inWords(err error) string {
	if err == nil {
		return ""
	}
	if code, ok := received(err); ok {
		if s := words[code]; s != "" {
			return s
		}
		return fmt.Sprintf("the peer reset the stream with %v", code)
	}
	if errors.Is(err, multifeed.ErrBadProof) {
		return words[multifeed.CodeRefused]
	}
	if errors.Is(err, hypercore.ErrForked) {
		return "the writer of a feed signed two histories: " + err.Error()
	}
	if _, ok := errors.AsType[*hypercore.RemoteError](err); ok {
		return "the peer sent something invalid: " + err.Error()
	}
	if multifeed.CodeOf(err) == multifeed.CodeProtocol {
		return "the peer broke the protocol: " + err.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time: " + err.Error()
	}
	return err.Error()
}

// short returns what logs show of a space.
func short(dk hypercore.DiscoveryKey) string { return fmt.Sprintf("%.8s", dk) }
