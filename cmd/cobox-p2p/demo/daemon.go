package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

const (
	readyTimeout = time.Minute
	stopTimeout  = 15 * time.Second
	maxErrText   = 4 << 10 // bytes of a daemon's last words
)

// daemon is a node in a process of its own.
type daemon struct {
	role   string
	dir    string
	peerID string
	addrs  []string
	client *api.Client

	cmd   *exec.Cmd
	stdin io.Closer // the daemon ends when this does, so none outlives the demo
	words *lastWords
	ended chan struct{} // closed when the process is gone
	once  sync.Once
}

// startDaemon sets up a node in a new folder below base and runs it.
func startDaemon(ctx context.Context, exe, base, role string, args ...string) (*daemon, error) {
	d := &daemon{role: role, dir: filepath.Join(base, role), words: &lastWords{}, ended: make(chan struct{})}
	if _, err := node.Init(d.dir, role); err != nil {
		return nil, err
	}
	d.cmd = exec.Command(exe, append([]string{"run", "--dir", d.dir, "--json", "--until-stdin-ends"}, args...)...)
	d.cmd.Stderr = d.words
	stdin, err := d.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.stdin = stdin
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", role, err)
	}
	first := make(chan []byte, 1)
	go func() {
		defer close(d.ended)
		line, _ := bufio.NewReader(stdout).ReadBytes('\n')
		first <- line
		d.cmd.Wait()
	}()
	if err := d.awaitReady(ctx, first); err != nil {
		d.kill()
		return nil, err
	}
	d.client = api.NewClient(d.dir)
	return d, nil
}

// awaitReady takes the line that run prints.
func (d *daemon) awaitReady(ctx context.Context, first <-chan []byte) error {
	late := time.NewTimer(readyTimeout)
	defer late.Stop()
	select {
	case line := <-first:
		var ready struct {
			Ready     bool     `json:"ready"`
			PeerID    string   `json:"peerId"`
			Addresses []string `json:"addresses"`
		}
		if err := json.Unmarshal(line, &ready); err != nil || !ready.Ready {
			<-d.ended
			return fmt.Errorf("the %s did not start: %s", d.role, d.words)
		}
		d.peerID, d.addrs = ready.PeerID, ready.Addresses
		return nil
	case <-late.C:
		return fmt.Errorf("the %s was not ready within %v: %s", d.role, readyTimeout, d.words)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill ends the process without a warning, as a power cut would.
func (d *daemon) kill() {
	d.once.Do(func() {
		d.cmd.Process.Kill()
		<-d.ended
		d.release()
	})
}

// stop lets the process end in order, and kills it when it takes too long.
func (d *daemon) stop() error {
	var err error
	d.once.Do(func() {
		d.stdin.Close()
		late := time.NewTimer(stopTimeout)
		defer late.Stop()
		select {
		case <-d.ended:
		case <-late.C:
			err = fmt.Errorf("the %s did not end within %v and was killed", d.role, stopTimeout)
			d.cmd.Process.Kill()
			<-d.ended
		}
		if err == nil && !d.cmd.ProcessState.Success() {
			err = errors.New("the " + d.role + " failed: " + d.words.String())
		}
		d.release()
	})
	return err
}

func (d *daemon) release() {
	d.stdin.Close()
	if d.client != nil {
		d.client.Close()
	}
}

// lastWords keeps the end of what a process wrote.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if over := len(l.text) - maxErrText; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.text) == 0 {
		return "it said nothing"
	}
	return strings.TrimSpace(string(l.text))
}
