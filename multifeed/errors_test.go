package multifeed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

func TestCodeOf(t *testing.T) {
	left := &ProtocolError{CodeLimit, "too many", io.EOF}
	tests := []struct {
		err  error
		want Code
	}{
		{nil, CodeNone},
		{left, CodeLimit},
		{fmt.Errorf("session: %w", left), CodeLimit},
		{fmt.Errorf("session: %w", &wire.FormatError{Type: "Have", Field: "start", Reason: "missing"}), CodeProtocol},
		{fmt.Errorf("session: %w", &hypercore.RemoteError{Err: hypercore.ErrTooManyWants}), CodeLimit},
		{&hypercore.RemoteError{Err: hypercore.ErrTooManyRequests}, CodeLimit},
		{&hypercore.RemoteError{Err: hypercore.ErrBadSignature}, CodeProof},
		{os.ErrDeadlineExceeded, CodeTimeout},
		{context.DeadlineExceeded, CodeTimeout},
		{&hypercore.RemoteError{Err: hypercore.ErrTooManyWants}, CodeLimit},
		{&hypercore.RemoteError{Err: hypercore.ErrRange}, CodeProtocol},
		{&hypercore.RemoteError{Err: hypercore.ErrForked}, CodeFork},
		{context.Canceled, CodeInternal},
		{io.ErrUnexpectedEOF, CodeInternal},
	}
	for _, tt := range tests {
		if got := CodeOf(tt.err); got != tt.want {
			t.Errorf("CodeOf(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
	if !errors.Is(left, io.EOF) {
		t.Error("a ProtocolError hides what it wraps")
	}
	if got, want := left.Error(), "multifeed: peer at fault (limit): too many: EOF"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The numbers cross the wire: interop/spec/handshake.md lists them.
func TestCodeNumbers(t *testing.T) {
	names := []string{"refused", "protocol", "limit", "timeout", "version", "duplicate", "left", "internal", "proof", "policy", "shutdown", "fork", "turn"}
	for i, name := range names {
		if got := Code(0x636201 + i).String(); got != name {
			t.Errorf("code 0x%x = %s, want %s", 0x636201+i, got, name)
		}
	}
	if len(codeNames) != len(names)+1 {
		t.Errorf("%d codes have names, want %d", len(codeNames), len(names)+1)
	}
	if got := Code(1).String(); got != "code 0x1" {
		t.Errorf("unknown code = %q", got)
	}
}
