package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// A bundle that waits for its rest does not hold up the shutdown, and its sender
// is told how much went in.
func TestBundleReadAtShutdown(t *testing.T) {
	s, c := serve(t)
	if _, err := c.Append(t.Context(), "home", "w", 40<<10, bytes.NewReader(make([]byte, 200<<10))); err != nil {
		t.Fatal(err)
	}
	var bundle bytes.Buffer
	b, err := c.WriteBundle(t.Context(), "home", nil, &bundle)
	if err != nil || b.Blocks != 5 {
		t.Fatalf("written %+v, %v", b, err)
	}
	rest := &silence{asked: make(chan struct{}), end: make(chan struct{})}
	defer close(rest.end)
	ended := make(chan error, 1)
	go func() {
		in := io.MultiReader(bytes.NewReader(bundle.Bytes()[:100<<10]), rest)
		_, err := c.ReadBundle(context.WithoutCancel(t.Context()), "home", in)
		ended <- err
	}()
	<-rest.asked // all before it was sent: net/http may drop an answer that comes while it writes
	s.Close()
	var e *Error
	if err := <-ended; !errors.As(err, &e) || e.Code != CodeBundle || e.Bundled == nil || !strings.Contains(e.Message, node.ErrClosed.Error()) {
		t.Errorf("the bundle ended with %v, want what went in", err)
	}
}

// silence is a reader that has nothing until end is closed. It closes asked when
// it is read first.
type silence struct{ asked, end chan struct{} }

func (s *silence) Read([]byte) (int, error) {
	close(s.asked)
	<-s.end
	return 0, io.EOF
}

// What ends a bundle on its way out reaches the client.
func TestBundleWriteAtShutdown(t *testing.T) {
	s, c := serve(t)
	for range 4 {
		if _, err := c.Append(t.Context(), "home", "w", 1<<20, bytes.NewReader(make([]byte, 4<<20))); err != nil {
			t.Fatal(err)
		}
	}
	in, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := c.WriteBundle(context.WithoutCancel(t.Context()), "home", nil, w)
		w.CloseWithError(io.EOF)
		ended <- err
	}()
	if _, err := io.ReadFull(in, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { defer close(closed); s.Close() }()
	<-s.ctx.Done()
	io.Copy(io.Discard, in)
	if err := <-ended; err == nil {
		t.Error("a bundle that was cut off counts as whole")
	}
	<-closed
}
