package jstest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// deadline bounds one test; a good run takes a few seconds.
const deadline = 2 * time.Minute

// within returns a context that ends after deadline, which begins when the
// JavaScript peer is installed.
func within(t *testing.T) context.Context {
	t.Helper()
	nodePath(t)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// child is a running JavaScript peer. Commands go to it as lines of JSON, its
// answers and events come back the same way; see interop/js/README.md.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	exited chan struct{} // closed when the process is gone and all was read
	err    error         // of the exit; set before exited

	mu      sync.Mutex // guards all below
	lastID  int
	answers map[int]chan answer
	events  []event
	told    strings.Builder // the lines of events
	changed chan struct{}   // closed and replaced at every event
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *string         `json:"error"`
}

type event struct {
	Event     string  `json:"event"`
	Peer      string  `json:"peer"`
	Initiator bool    `json:"initiator"`
	Error     *string `json:"error"`
}

// run starts the peer's process. It is killed when ctx or the test ends.
func run(ctx context.Context, t *testing.T) *child {
	t.Helper()
	c := &child{
		t: t, exited: make(chan struct{}),
		answers: map[int]chan answer{}, changed: make(chan struct{}),
	}
	c.cmd = exec.CommandContext(ctx, nodePath(t), "--import", "./polyfill.js", "main.js")
	c.cmd.Dir = program
	c.cmd.Stderr = &c.stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go c.read(stdout)
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.exited
		if t.Failed() {
			t.Logf("events of the JavaScript peer:\n%s\nits stderr:\n%s", c.told.String(), &c.stderr)
		}
	})
	return c
}

// read takes lines until the process closes its output, and waits for its end.
func (c *child) read(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		c.line(lines.Bytes())
	}
	io.Copy(io.Discard, stdout)
	c.err = c.cmd.Wait()
	close(c.exited)
}

func (c *child) line(line []byte) {
	var a answer
	var e event
	if json.Unmarshal(line, &a) != nil || json.Unmarshal(line, &e) != nil {
		c.t.Errorf("the JavaScript peer printed %.200q", line)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Event != "" {
		c.events = append(c.events, e)
		fmt.Fprintf(&c.told, "%s\n", line)
		close(c.changed)
		c.changed = make(chan struct{})
		return
	}
	if to := c.answers[a.ID]; to != nil {
		delete(c.answers, a.ID)
		to <- a
	}
}

// call runs a command and decodes its answer into result, which may be nil. The
// test ends when the command fails.
func (c *child) call(ctx context.Context, command string, options map[string]any, result any) {
	c.t.Helper()
	a, err := c.ask(ctx, command, options)
	if err == nil && a.Error != nil {
		err = fmt.Errorf("%s", *a.Error)
	}
	if err == nil && result != nil {
		err = json.Unmarshal(a.Result, result)
	}
	if err != nil {
		c.t.Fatalf("JavaScript peer: %s: %v", command, err)
	}
}

func (c *child) ask(ctx context.Context, command string, options map[string]any) (answer, error) {
	to := make(chan answer, 1)
	c.mu.Lock()
	c.lastID++
	id := c.lastID
	c.answers[id] = to
	c.mu.Unlock()
	line := map[string]any{"id": id, "command": command}
	for name, value := range options {
		line[name] = value
	}
	b, err := json.Marshal(line)
	if err != nil {
		return answer{}, err
	}
	if _, err := c.stdin.Write(append(b, '\n')); err != nil {
		return answer{}, err
	}
	select {
	case a := <-to:
		return a, nil
	case <-c.exited:
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	select {
	case a := <-to: // the last words
		return a, nil
	default:
		return answer{}, fmt.Errorf("process ended: %w", c.err)
	}
}

// waitEvent returns the first event of that name.
func (c *child) waitEvent(ctx context.Context, name string) event {
	c.t.Helper()
	c.waitUntil(ctx, func(count func(string) int) bool { return count(name) > 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events[slices.IndexFunc(c.events, func(e event) bool { return e.Event == name })]
}

// count returns how many events of that name came.
func (c *child) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.countLocked(name)
}

func (c *child) countLocked(name string) (n int) {
	for _, e := range c.events {
		if e.Event == name {
			n++
		}
	}
	return n
}

// waitUntil returns when done, which may count events, is true.
func (c *child) waitUntil(ctx context.Context, done func(count func(string) int) bool) {
	c.t.Helper()
	for {
		c.mu.Lock()
		ok, changed := done(c.countLocked), c.changed
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-c.exited:
			c.t.Fatalf("the JavaScript peer ended: %v", c.err)
		case <-ctx.Done():
			c.t.Fatalf("the JavaScript peer's events didn't come: %v", ctx.Err())
		}
	}
}

// stop lets the peer end in order.
func (c *child) stop(ctx context.Context) {
	c.t.Helper()
	c.call(ctx, "stop", nil, nil)
	select {
	case <-c.exited:
		if c.err != nil {
			c.t.Errorf("JavaScript peer: exit: %v", c.err)
		}
	case <-ctx.Done():
		c.t.Errorf("JavaScript peer doesn't exit: %v", ctx.Err())
	}
}
