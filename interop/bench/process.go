package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// childArg makes this program a child that does the task in its second
	// argument.
	childArg = "child"
	// lookEvery is how often a child's descriptors are counted.
	lookEvery = 20 * time.Millisecond
	// maxChildErrors is how many bytes of what a child complains of are kept.
	maxChildErrors = 4 << 10
	// childGrace is how long a child that was told to end may take.
	childGrace = 10 * time.Second
)

// programs are what children are made of.
type programs struct {
	self  string // this program
	node  string
	peers string // folder of the peers on npm
}

// command returns the process of a task, which isn't started.
func (p programs) command(ctx context.Context, peer string, t task) (*exec.Cmd, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	if peer == "" {
		return exec.CommandContext(ctx, p.self, childArg, string(text)), nil
	}
	cmd := exec.CommandContext(ctx, p.node, "peer.js", string(text))
	cmd.Dir = filepath.Join(p.peers, peer)
	return cmd, nil
}

// run does a task in a process of its own and returns what that measured, and
// what could be seen of it from here.
func (p programs) run(ctx context.Context, peer string, t task) (r result, err error) {
	cmd, err := p.command(ctx, peer, t)
	if err != nil {
		return r, err
	}
	complaints := &tail{most: maxChildErrors}
	cmd.Stderr = complaints
	cmd.WaitDelay = childGrace
	hold, err := cmd.StdinPipe()
	if err != nil {
		return r, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	busy, begun := busyTime(), time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	r, err = observe(cmd.Process.Pid, out)
	hold.Close()
	if waitErr := cmd.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return r, fmt.Errorf("task %s: %w\n%s", t.Do, err, complaints)
	}
	own := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.Others = max(0, (busyTime()-busy-own).Seconds()/time.Since(begun).Seconds())
	return r, nil
}

// observe reads a child's result and looks at the child as long as it runs.
func observe(pid int, out io.Reader) (r result, err error) {
	ended, most := make(chan struct{}), make(chan int)
	go func() {
		fds := 0
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fds = max(fds, descriptors(pid))
			case <-ended:
				most <- fds
				return
			}
		}
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	close(ended)
	fds := <-most
	if err != nil {
		return r, fmt.Errorf("no result: %w", err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, err
	}
	r.RSS, r.FDs = peakRSS(pid), max(fds, descriptors(pid))
	return r, nil
}

// tail keeps the last bytes that were written to it.
type tail struct {
	most int
	buf  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.buf.Write(p)
	t.buf.Next(max(0, t.buf.Len()-t.most))
	return n, err
}

func (t *tail) String() string { return t.buf.String() }

// self returns the path of this program.
func self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("children are this program: %w", err)
	}
	return path, nil
}
