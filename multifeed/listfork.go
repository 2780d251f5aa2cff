package multifeed

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Field numbers of a Fork. See interop/spec/feedset.md.
const (
	forkFeed     = 1 // bytes, 32
	forkEvidence = 2 // bytes: encoded hypercore.ForkEvidence
)

// appendFork appends the evidence of a feed that has forked to a page.
func appendFork(page []byte, f *Feed) []byte {
	e := f.Evidence()
	if e == nil {
		return page
	}
	key := f.Key()
	fork := protowire.AppendBytes(protowire.AppendTag(nil, forkFeed, protowire.BytesType), key[:])
	fork = protowire.AppendBytes(protowire.AppendTag(fork, forkEvidence, protowire.BytesType), e.Append(nil))
	return protowire.AppendBytes(protowire.AppendTag(page, pageFork, protowire.BytesType), fork)
}

var errFork = fmt.Errorf("%w: fork", errMalformed)

// takeFork takes evidence for a feed of the set. For other feeds it means
// nothing here.
func (x *Session) takeFork(b []byte) error {
	var key hypercore.Key
	var known bool
	var evidence []byte
	err := eachField(b, func(num protowire.Number, v field) error {
		switch num {
		case forkFeed:
			if known = copyExactly(key[:], v.bytes); !known {
				return fmt.Errorf("%w: field %d", errFork, num)
			}
		case forkEvidence:
			evidence = v.bytes
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !known || evidence == nil:
		return fmt.Errorf("%w: no feed key or no evidence", errFork)
	}
	f, err := x.space.byDiscovery(key.Discovery())
	if err != nil || f == nil || f.damaged != nil || f.Evidence() != nil {
		return err
	}
	e, err := hypercore.ParseForkEvidence(evidence)
	if err == nil {
		err = f.TakeEvidence(e)
	}
	if _, ok := errors.AsType[*hypercore.RemoteError](err); ok || errors.Is(err, hypercore.ErrEvidence) {
		return &ProtocolError{Code: CodeProof, Reason: "feed set", Err: err}
	}
	return err
}
