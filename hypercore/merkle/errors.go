package merkle

import (
	"errors"
	"fmt"
)

// ErrProof is what every error of Verify that can only be the peer's fault
// wraps. ErrProofBranch and ErrProofFork don't: an honest peer can cause them.
var ErrProof = errors.New("merkle: bad proof")

// Errors of Verify that wrap ErrProof.
var (
	// ErrProofLimit: a block number, a node index or the number of nodes is
	// beyond its limit, or the signature has an impossible length.
	ErrProofLimit = fmt.Errorf("%w: beyond the limits", ErrProof)
	// ErrProofSize: a size, or the sum of sizes, is over MaxSize.
	ErrProofSize = fmt.Errorf("%w: size too large", ErrProof)
	// ErrProofDuplicate: two nodes have one index.
	ErrProofDuplicate = fmt.Errorf("%w: node given twice", ErrProof)
	// ErrProofShort: a node is missing, or out of place.
	ErrProofShort = fmt.Errorf("%w: node missing", ErrProof)
	// ErrProofSpare: a node is left over.
	ErrProofSpare = fmt.Errorf("%w: node to spare", ErrProof)
	// ErrProofSignature: roots that aren't known have no valid signature.
	ErrProofSignature = fmt.Errorf("%w: signature", ErrProof)
	// ErrProofContradicts: a node differs from the one that is held, and
	// nothing shows that the feed's writer signed it.
	ErrProofContradicts = fmt.Errorf("%w: contradicts what is held", ErrProof)
)

var (
	// ErrProofBranch: the proof ends in validly signed roots of a longer tree,
	// but doesn't show that this tree continues ours. It may be another branch.
	// An honest peer's answer ends like this only when it was asked for a block
	// behind the one at our own length, whose proof repeats all our roots.
	ErrProofBranch = errors.New("merkle: proof doesn't continue the held tree")
	// ErrProofFork: the writer signed two trees that contradict each other. The
	// error is a *ForkError.
	ErrProofFork = errors.New("merkle: feed has forked")
)
