package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram makes the test binary behave as the program itself: for processes of
// their own, that can be killed, and for the demo, which starts its own file.
const asProgram = "COBOX_P2P_TEST_AS_PROGRAM"

// patience is how long a test waits for what must come. Only failures wait so
// long.
const patience = time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// result is what a command printed, and its exit code.
type result struct {
	code     int
	out, err string
}

// cobox runs a command to its end.
func cobox(t *testing.T, in io.Reader, args ...string) result {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if in == nil {
		in = strings.NewReader("")
	}
	var out, errs bytes.Buffer
	code := execute(ctx, args, streams{in, &out, &errs})
	return result{code, out.String(), errs.String()}
}

// done runs a command that must succeed and decodes its JSON into the answer,
// if that isn't nil.
func done(t *testing.T, in io.Reader, answer any, args ...string) result {
	t.Helper()
	r := cobox(t, in, append(args, "--json")...)
	if r.code != exitDone {
		t.Fatalf("cobox-p2p %s: exit code %d, want 0\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	if answer != nil {
		if err := json.Unmarshal([]byte(r.out), answer); err != nil {
			t.Fatalf("cobox-p2p %s printed no JSON: %v\n%s", strings.Join(args, " "), err, r.out)
		}
		if strings.Count(r.out, "\n") != 1 {
			t.Fatalf("cobox-p2p %s printed more than a line:\n%s", strings.Join(args, " "), r.out)
		}
	}
	return r
}

// quiet are the flags of a daemon that meets only whom it is told to.
var quiet = []string{"--dht", "off", "--mdns=false", "--listen", "/ip4/127.0.0.1/tcp/0"}

// daemon is a node that runs, in this process or in one of its own.
type daemon struct {
	Ready
	t    *testing.T
	dir  string
	stop func() // ends it in order; may be called twice
	kill func() // as kill -9; only of a process of its own
}

// initNode sets up a node in a new folder.
func initNode(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	done(t, nil, nil, "init", "--dir", dir, "--name", name)
	return dir
}

// startDaemon runs a node in this process until the test ends.
func startDaemon(t *testing.T, dir string, flags ...string) *daemon {
	t.Helper()
	if flags == nil {
		flags = quiet
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, out := io.Pipe()
	errs := &safeBuffer{}
	ended := make(chan int, 1)
	go func() {
		args := append([]string{"run", "--dir", dir, "--json"}, flags...)
		code := execute(ctx, args, streams{strings.NewReader(""), out, errs})
		out.Close()
		ended <- code
	}()
	d := &daemon{t: t, dir: dir}
	d.stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != exitDone {
			t.Errorf("daemon in %s: exit code %d\n%s", dir, code, errs)
		}
	})
	t.Cleanup(d.stop)
	if err := json.NewDecoder(ready).Decode(&d.Ready); err != nil || !d.Ready.Ready {
		t.Fatalf("daemon in %s is not ready: %v\n%s", dir, err, errs)
	}
	return d
}

// startProcess runs a node in a process of its own until the test ends.
func startProcess(t *testing.T, dir string) *daemon {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"run", "--dir", dir, "--json"}, quiet...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	errs := &safeBuffer{}
	cmd.Stderr = errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: dir}
	end := sync.OnceFunc(func() { cmd.Process.Kill(); cmd.Wait() })
	d.kill, d.stop = end, end
	t.Cleanup(end)
	if err := json.NewDecoder(out).Decode(&d.Ready); err != nil || !d.Ready.Ready {
		t.Fatalf("process in %s is not ready: %v\n%s", dir, err, errs)
	}
	return d
}

// cobox runs a command at the daemon.
func (d *daemon) cobox(in io.Reader, args ...string) result {
	d.t.Helper()
	return cobox(d.t, in, append(args, "--dir", d.dir)...)
}

// done runs a command that must succeed at the daemon.
func (d *daemon) done(in io.Reader, answer any, args ...string) result {
	d.t.Helper()
	return done(d.t, in, answer, append(args, "--dir", d.dir)...)
}

// safeBuffer is a buffer that is written by one goroutine and read by another.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
