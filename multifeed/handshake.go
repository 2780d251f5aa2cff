package multifeed

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// HandshakeTimeout is how long a handshake may take in all.
const HandshakeTimeout = 10 * time.Second

// Initiate opens a session for the space on a stream to the peer with the binary
// ID remote. The stream has no deadline when it returns. An error leaves the
// stream to the caller, who resets it with CodeOf(err): a *ProtocolError when the
// remote is at fault, with CodeRefused when it doesn't know the space or won't
// tell, else the error of ctx or of the stream. See interop/spec/handshake.md.
func Initiate(ctx context.Context, s Stream, self Party, remote []byte, address Address) (*Opened, error) {
	if err := address.Check(); err != nil {
		return nil, err
	}
	return inTime(ctx, s, func() (*Opened, error) {
		h, err := newHandshake(s, self, remote)
		if err != nil {
			return nil, err
		}
		return h.initiate(address)
	})
}

// Respond answers the remote's Initiate. The function lookup returns the address
// of the joined space whose Tag(remote, self) is the given one; it is called at
// most once. What the remote sees doesn't depend on what lookup returns until it
// proved that it knows that address. Otherwise Respond is as Initiate.
func Respond(ctx context.Context, s Stream, self Party, remote []byte, lookup func(tag [32]byte) (Address, bool)) (*Opened, error) {
	return inTime(ctx, s, func() (*Opened, error) {
		h, err := newHandshake(s, self, remote)
		if err != nil {
			return nil, err
		}
		return h.respond(lookup)
	})
}

// inTime runs a handshake that ends with ctx and after HandshakeTimeout.
func inTime(ctx context.Context, s Stream, run func() (*Opened, error)) (*Opened, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("multifeed: handshake: %w", err)
	}
	if err := s.SetDeadline(time.Now().Add(HandshakeTimeout)); err != nil {
		return nil, fmt.Errorf("multifeed: handshake: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	o, err := run()
	if !stop() {
		return nil, fmt.Errorf("multifeed: handshake: %w", ctx.Err())
	}
	if err == nil {
		err = s.SetDeadline(time.Time{})
	}
	switch {
	case err == nil:
		return o, nil
	case isTimeout(err):
		return nil, &ProtocolError{CodeTimeout, "handshake", err}
	}
	return nil, err
}

// handshake is what one side knows while it lasts.
type handshake struct {
	stream *deadlines
	reader *wire.Reader
	self   Party
	remote Party
	nonce  [32]byte // ours
}

func newHandshake(s Stream, self Party, remote []byte) (*handshake, error) {
	if len(self.PeerID) == 0 || len(remote) == 0 {
		return nil, errors.New("multifeed: handshake without peer IDs")
	}
	if bytes.Equal(self.PeerID, remote) {
		return nil, &ProtocolError{Code: CodeRefused, Err: ErrSelf}
	}
	d := &deadlines{stream: s}
	h := &handshake{
		stream: d,
		reader: wire.NewReader(d, wire.MaxFrame),
		self:   self,
		remote: Party{PeerID: bytes.Clone(remote)},
	}
	rand.Read(h.nonce[:])
	return h, nil
}

func (h *handshake) initiate(address Address) (*Opened, error) {
	tag := address.Tag(h.self.PeerID, h.remote.PeerID)
	mine, err := h.hello(&tag)
	if err != nil {
		return nil, err
	}
	if err := h.write(mine); err != nil {
		return nil, err
	}
	theirs, _, err := h.readHello(false)
	if err != nil {
		return nil, err
	}
	t := transcript(address, h.self.PeerID, h.remote.PeerID, mine, theirs)
	ok, err := h.readProof(proof(byResponder, address, t))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &ProtocolError{Code: CodeRefused, Err: ErrBadProof}
	}
	if err := h.write(wire.AppendProof(nil, proof(byInitiator, address, t))); err != nil {
		return nil, err
	}
	return h.opened(address, t, true), nil
}

// respond does the same work and sends as many bytes whether the tag is known
// or not: for an unknown one it goes on with a random address.
func (h *handshake) respond(lookup func([32]byte) (Address, bool)) (*Opened, error) {
	theirs, tag, err := h.readHello(true)
	if err != nil {
		return nil, err
	}
	decoy := NewOpenAddress()
	address, known := lookup(tag)
	if !known {
		address = decoy
	}
	mine, err := h.hello(nil)
	if err != nil {
		return nil, err
	}
	t := transcript(address, h.remote.PeerID, h.self.PeerID, theirs, mine)
	if err := h.write(mine, wire.AppendProof(nil, proof(byResponder, address, t))); err != nil {
		return nil, err
	}
	ok, err := h.readProof(proof(byInitiator, address, t))
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, &ProtocolError{Code: CodeRefused, Err: ErrUnknownSpace}
	}
	if !ok {
		return nil, &ProtocolError{Code: CodeRefused, Err: ErrBadProof}
	}
	return h.opened(address, t, false), nil
}

// hello returns the body of our Hello, with a tag when we initiate.
func (h *handshake) hello(tag *[32]byte) ([]byte, error) {
	body, err := wire.AppendHello(nil, wire.Hello{
		Major:    Major,
		Minor:    Minor,
		Tag:      tag,
		Nonce:    h.nonce,
		Process:  h.self.Process,
		Silence:  uint64(h.self.Silence.Milliseconds()),
		Features: h.self.Features,
	})
	if err != nil {
		return nil, fmt.Errorf("multifeed: handshake: %w", err)
	}
	return body, nil
}

// readHello returns the remote's Hello as received and its tag, which the
// initiator sends and the responder doesn't.
func (h *handshake) readHello(tagged bool) (body []byte, tag [32]byte, err error) {
	if body, err = h.read(); err != nil {
		return nil, tag, err
	}
	hello, err := wire.DecodeHello(body)
	if err != nil {
		return nil, tag, &ProtocolError{CodeProtocol, "handshake", err}
	}
	if hello.Major != Major {
		return nil, tag, &ProtocolError{Code: CodeVersion, Reason: fmt.Sprintf("major version %d, want %d", hello.Major, Major)}
	}
	if (hello.Tag != nil) != tagged {
		return nil, tag, &ProtocolError{Code: CodeProtocol, Reason: "Hello with the tag on the wrong side"}
	}
	if tagged {
		tag = *hello.Tag
	}
	h.remote.Process = hello.Process
	h.remote.Silence = time.Duration(hello.Silence) * time.Millisecond
	h.remote.Features = hello.Features
	return body, tag, nil
}

// readProof says whether the remote's proof is want.
func (h *handshake) readProof(want [32]byte) (bool, error) {
	body, err := h.read()
	if err != nil {
		return false, err
	}
	got, err := wire.DecodeProof(body)
	if err != nil {
		return false, &ProtocolError{CodeProtocol, "handshake", err}
	}
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1, nil
}

func (h *handshake) read() ([]byte, error) {
	body, err := h.reader.ReadControl()
	if _, ok := errors.AsType[*wire.FormatError](err); ok {
		return nil, &ProtocolError{CodeProtocol, "handshake", err}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("multifeed: handshake: %w", err)
	}
	return body, nil
}

// write sends the bodies as control frames, in one write.
func (h *handshake) write(bodies ...[]byte) error {
	var out []byte
	for _, body := range bodies {
		var err error
		if out, err = wire.AppendControl(out, body); err != nil {
			return fmt.Errorf("multifeed: handshake: %w", err)
		}
	}
	if _, err := h.stream.stream.Write(out); err != nil {
		return fmt.Errorf("multifeed: handshake: %w", err)
	}
	return nil
}

func (h *handshake) opened(address Address, t [32]byte, initiator bool) *Opened {
	return &Opened{
		Stream:     h.stream.stream,
		deadlines:  h.stream,
		Silence:    h.self.Silence,
		Reader:     h.reader,
		Address:    address,
		Initiator:  initiator,
		Remote:     h.remote,
		Features:   common(h.self.Features, h.remote.Features),
		Transcript: t,
	}
}

// common returns what both lists name, sorted and each once.
func common(a, b []string) []string {
	var both []string
	for _, name := range a {
		if slices.Contains(b, name) {
			both = append(both, name)
		}
	}
	slices.Sort(both)
	return slices.Compact(both)
}
