package multifeed

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Entry is a feed of the set as one peer tells it another.
type Entry struct {
	Feed      hypercore.Key
	Length    uint64 // of the head below; 0 when there is none
	RootHash  merkle.Hash
	Signature hypercore.Signature
	Admission Admission // zero in open spaces

	lacks uint64 // blocks below Length that the sender has not; told in cobox/feeds/1 alone
}

// Field numbers of an Entry. See interop/spec/feedset.md.
const (
	entryFeed      = 1 // bytes, 32
	entryLength    = 2 // uvarint
	entryRootHash  = 3 // bytes, 32; with entryLength
	entrySignature = 4 // bytes, 64; with entryLength
	entryAdmission = 5 // bytes, 64
	entryLacks     = 6 // uvarint, at most length; see "cobox/feeds/1"
)

var errEntry = fmt.Errorf("%w: entry", errMalformed)

func appendEntry(b []byte, e Entry) []byte {
	b = protowire.AppendBytes(protowire.AppendTag(b, entryFeed, protowire.BytesType), e.Feed[:])
	if e.Length > 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, entryLength, protowire.VarintType), e.Length)
		b = protowire.AppendBytes(protowire.AppendTag(b, entryRootHash, protowire.BytesType), e.RootHash[:])
		b = protowire.AppendBytes(protowire.AppendTag(b, entrySignature, protowire.BytesType), e.Signature[:])
	}
	if e.Admission != (Admission{}) {
		b = protowire.AppendBytes(protowire.AppendTag(b, entryAdmission, protowire.BytesType), e.Admission[:])
	}
	if e.lacks > 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, entryLacks, protowire.VarintType), e.lacks)
	}
	return b
}

func decodeEntry(b []byte) (e Entry, err error) {
	var key, root, signature bool
	err = eachField(b, func(num protowire.Number, v field) error {
		ok := true
		switch num {
		case entryFeed:
			key = copyExactly(e.Feed[:], v.bytes)
			ok = key
		case entryLength:
			e.Length = v.number
			ok = v.varint && v.number <= merkle.MaxSize
		case entryRootHash:
			root = copyExactly(e.RootHash[:], v.bytes)
			ok = root
		case entrySignature:
			signature = copyExactly(e.Signature[:], v.bytes)
			ok = signature
		case entryAdmission:
			ok = copyExactly(e.Admission[:], v.bytes)
		case entryLacks:
			e.lacks = v.number
			ok = v.varint
		}
		if !ok {
			return fmt.Errorf("%w: field %d", errEntry, num)
		}
		return nil
	})
	switch {
	case err != nil:
		return e, err
	case !key:
		return e, fmt.Errorf("%w: no feed key", errEntry)
	case (e.Length > 0) != root || root != signature:
		return e, fmt.Errorf("%w: a head has length, root hash and signature", errEntry)
	case e.lacks > e.Length:
		return e, fmt.Errorf("%w: %d of %d blocks are missing", errEntry, e.lacks, e.Length)
	}
	return e, nil
}

func copyExactly(dst, src []byte) bool {
	return len(src) == len(dst) && copy(dst, src) == len(dst)
}

// entry returns what this node tells of a feed.
func (f *Feed) entry() Entry {
	h := f.ShowHead()
	return Entry{Feed: f.Key(), Length: h.Length, RootHash: h.RootHash, Signature: h.Signature, Admission: f.admission}
}

// takeEntry checks what a peer tells of a feed and takes it into the set. The
// feed is nil when it was skipped for a limit or the policy. A *ProtocolError is
// the peer's fault, any other error ours.
func (x *Session) takeEntry(e Entry) (*Feed, error) {
	s := x.space
	f, err := s.byDiscovery(e.Feed.Discovery())
	if err != nil {
		return nil, err
	}
	if f == nil { // else its key was checked when it came
		if err := s.checkFeed(e.Feed); err != nil {
			return nil, &ProtocolError{Code: CodeProof, Reason: "feed set", Err: err}
		}
	}
	if f == nil && s.address.Kind == KindSigned {
		if err := VerifyAdmission(s.address, e.Feed, e.Admission); err != nil {
			return nil, &ProtocolError{Code: CodeProof, Reason: "feed set", Err: err}
		}
	}
	if f == nil || e.Length > f.KnownLength() {
		if err := e.verifyHead(); err != nil {
			return nil, &ProtocolError{Code: CodeProof, Reason: "feed set", Err: err}
		}
	}
	if f == nil {
		if f, err = x.acceptOffer(e); err != nil && !errors.Is(err, errRefused) {
			return nil, err
		}
		if err != nil {
			x.log.Debug("feed skipped", "feed", fmt.Sprintf("%.8s", e.Feed.Discovery()), "err", err)
			x.skip(e, err)
			return nil, nil
		}
	}
	f.noteKnown(e.Length)
	if s.isBlocked(e.Feed) {
		x.refuse(e.Feed.Discovery(), ErrBlocked)
	}
	return f, x.compare(f, e)
}

func (e Entry) verifyHead() error {
	if e.Length == 0 {
		return nil
	}
	if err := e.Feed.Verify(hypercore.Signable(e.RootHash, e.Length), e.Signature); err != nil {
		return fmt.Errorf("head of feed %.8s: %w", e.Feed.Discovery(), err)
	}
	return nil
}

// errRefused is wrapped by the error for a feed that is skipped.
var errRefused = errors.New("multifeed: feed refused")

func (x *Session) acceptOffer(e Entry) (*Feed, error) {
	s := x.space
	offer := Offer{Space: s.address, Feed: e.Feed, Length: e.Length, Remote: x.opened.Remote.PeerID}
	if err := s.allow(offer, 0); err != nil {
		return nil, err
	}
	f, err := s.add(e.Feed, e.Admission, true)
	if errors.Is(err, ErrTooMany) {
		err = fmt.Errorf("%w: %w", errRefused, err)
	}
	return f, err
}
