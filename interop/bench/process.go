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
	// profile is a folder for profiles of children of ours, or empty.
	profile string
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

// process is a child that runs. It holds still after its first line of output
// until it is told to end.
type process struct {
	cmd        *exec.Cmd
	do         string
	hold       io.Closer // closing it lets the child go on and end
	out        *bufio.Reader
	complaints *tail
}

// start begins a task in a process of its own, which is to be ended.
func (p programs) start(ctx context.Context, peer string, t task) (*process, error) {
	t.Profile = p.profile
	cmd, err := p.command(ctx, peer, t)
	if err != nil {
		return nil, err
	}
	c := &process{cmd: cmd, do: t.Do, complaints: &tail{most: maxChildErrors}}
	cmd.Stderr = c.complaints
	cmd.WaitDelay = childGrace
	if c.hold, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, cmd.Start()
}

func (c *process) pid() int { return c.cmd.Process.Pid }

// says reads the child's line of JSON.
func (c *process) says(v any) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no result: %w", err)
	}
	return json.Unmarshal(line, v)
}

// end lets the child end and waits for it. It returns err if that is set, else
// how the child ended, with what it complained of.
func (c *process) end(err error) error {
	c.hold.Close()
	if waitErr := c.cmd.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return fmt.Errorf("task %s: %w\n%s", c.do, err, c.complaints)
	}
	return nil
}

// run does a task in a process of its own and returns what that measured, and
// what could be seen from here of it and of those that it works with.
func (p programs) run(ctx context.Context, peer string, t task, beside ...*process) (r result, err error) {
	before := sidesOf(beside)
	busy, begun := busyTime(), time.Now()
	c, err := p.start(ctx, peer, t)
	if err != nil {
		return r, err
	}
	r, err = c.observe()
	r.Beside = sidesSince(before, beside)
	if err = c.end(err); err != nil {
		return r, err
	}
	own := (c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()).Seconds()
	for _, s := range r.Beside {
		own += s.CPUSeconds
	}
	r.Others = max(0, ((busyTime()-busy).Seconds()-own)/time.Since(begun).Seconds())
	return r, nil
}

// side is what was seen of a process that another one works with.
type side struct {
	CPUSeconds float64 `json:"cpuSeconds"` // while the other ran
	RSS        uint64  `json:"rssBytes"`   // the most since it began
	FDs        int     `json:"fds"`        // when the other was done
}

func sidesOf(beside []*process) []side {
	sides := make([]side, len(beside))
	for i, c := range beside {
		sides[i] = side{CPUSeconds: processTime(c.pid()).Seconds(), RSS: peakRSS(c.pid()), FDs: descriptors(c.pid())}
	}
	return sides
}

// sidesSince is sidesOf with the CPU that was used since.
func sidesSince(before []side, beside []*process) []side {
	sides := sidesOf(beside)
	for i := range sides {
		sides[i].CPUSeconds -= before[i].CPUSeconds
	}
	return sides
}

// observe reads a child's result and looks at the child until then.
func (c *process) observe() (r result, err error) {
	ended, most := make(chan struct{}), make(chan int)
	go func() {
		fds := 0
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fds = max(fds, descriptors(c.pid()))
			case <-ended:
				most <- fds
				return
			}
		}
	}()
	err = c.says(&r)
	close(ended)
	fds := <-most
	if err != nil {
		return r, err
	}
	r.RSS, r.FDs = peakRSS(c.pid()), max(fds, descriptors(c.pid()))
	r.Resident = residentNow(c.pid())
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
