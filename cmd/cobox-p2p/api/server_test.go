package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a node that meets nobody, with its API and a space "home".
func serve(t *testing.T) (*Server, *Client) {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f, err := node.Init(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(f, node.Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	s, err := Serve(n, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c := NewClient(dir)
	t.Cleanup(c.Close)
	if _, err := c.Create(t.Context(), "home", false); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// raw sends a request as no client of ours would.
func raw(t *testing.T, c *Client, method, path, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://cobox"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestRequestsThatAreRefused(t *testing.T) {
	_, c := serve(t)
	name := func(n int) string { // a request of n bytes
		text := `{"name":"`
		return text + strings.Repeat("x", n-len(text)-2) + `"}`
	}
	for _, q := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/v1/nothing", "", 404, ""},
		{"PUT", "/v1/status", "", 405, ""},
		{"POST", "/v1/spaces", "{", 400, "no JSON"},
		{"POST", "/v1/spaces", `{"unknown":1}`, 400, "unknown"},
		{"POST", "/v1/spaces", name(MaxRequest), 400, "1 to 64 bytes"}, // read, and refused for the name
		{"POST", "/v1/spaces", name(MaxRequest + 1), 400, "over 65536 bytes"},
		{"POST", "/v1/spaces/join", `{"text":"x"}`, 400, `"code":"use"`},
		{"POST", "/v1/spaces/seed", `{"text":""}`, 400, `"code":"use"`},
		{"GET", "/v1/spaces/absent", "", 400, "no space"},
		{"GET", "/v1/spaces/home?secret=maybe", "", 400, "neither true nor false"},
		{"DELETE", "/v1/spaces/home?keep=2", "", 400, "neither true nor false"},
		{"POST", "/v1/spaces/home/append?blockSize=x", "", 400, "no number"},
		{"POST", "/v1/spaces/home/append?blockSize=-1", "", 400, "no number"},
		{"POST", "/v1/spaces/home/append?blockSize=8323033", "x", 400, "blocks have 1 to"},
		{"POST", "/v1/spaces/home/append?blockSize=8323032", "x", 200, `"blocks":1`},
		{"GET", "/v1/spaces/home/read?offline=1&timeoutMs=x", "", 400, "no number"},
		{"GET", "/v1/spaces/home/read?offline=1&feed=absent", "", 400, "no feed"},
		{"GET", "/v1/status", "", 200, `"peerId"`},
	} {
		status, answer := raw(t, c, q.method, q.path, q.body)
		if status != q.status || !strings.Contains(answer, q.says) {
			t.Errorf("%s %s: status %d, want %d, and %q in %.300s", q.method, q.path, status, q.status, q.says, answer)
		}
	}
}

// TestReadBreaksOff holds that an error after the first byte reaches the client.
func TestReadBreaksOff(t *testing.T) {
	s, c := serve(t)
	text := bytes.Repeat([]byte("0123456789"), 100)
	if _, err := c.Append(t.Context(), "home", "w", 100, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	request := ReadRequest{Space: "home", ReadOptions: node.ReadOptions{Offline: true}}
	var out bytes.Buffer
	if n, err := c.Read(t.Context(), request, &out); err != nil || n != int64(len(text)) || !bytes.Equal(out.Bytes(), text) {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	request.Follow = true
	in, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		n, err := c.Read(context.WithoutCancel(t.Context()), request, w)
		if n != int64(len(text)) {
			t.Errorf("following wrote %d bytes, want %d", n, len(text))
		}
		ended <- err
	}()
	if _, err := io.ReadFull(in, make([]byte, len(text))); err != nil {
		t.Fatal(err)
	}
	s.Close()
	var e *Error
	if err := <-ended; !errors.As(err, &e) || e.Message != node.ErrClosed.Error() {
		t.Errorf("the shutdown reached the client as %v, want %v", err, node.ErrClosed)
	}
}

// TestAppendAtShutdown holds that an append that waits for its input is told how
// much is durable.
func TestAppendAtShutdown(t *testing.T) {
	s, c := serve(t)
	in, w := io.Pipe()
	defer w.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := c.Append(context.WithoutCancel(t.Context()), "home", "w", 4, in)
		ended <- err
	}()
	if _, err := w.Write([]byte("12345678")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer // the blocks are durable once they can be followed
	read, stop := context.WithCancel(t.Context())
	request := ReadRequest{Space: "home", ReadOptions: node.ReadOptions{Offline: true, Follow: true}}
	if _, err := c.Read(read, request, writerFunc(func(b []byte) (int, error) {
		if out.Write(b); out.Len() == 8 {
			stop()
		}
		return len(b), nil
	})); !errors.Is(err, context.Canceled) {
		t.Fatalf("following: %v", err)
	}
	s.Close()
	var e *Error
	if err := <-ended; !errors.As(err, &e) || e.Code != CodeAppend || e.Appended == nil || e.Appended.Bytes != 8 || e.Appended.Blocks != 2 {
		t.Errorf("the append ended with %v, want what is durable", err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.dir, "api.*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("after Close: %v, want ErrNoDaemon", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
