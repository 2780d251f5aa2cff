// Package demo shows the main job on real input: a folder is stored in a new
// space, copied to a seeder that can't read it, and read again by somebody who
// finds the seeder through the DHT, after the writer is gone. Every node is a
// process of its own on loopback.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// Options say how the demo runs.
type Options struct {
	Path     string    // file or folder
	Keep     bool      // leave the nodes' folders and what was restored
	Progress io.Writer // for people: standard error
}

// demo is one run.
type demo struct {
	Options
	report   *Report
	progress *progress
	base     string // the temporary folder of everything
	exe      string
	dht      string // flag of all daemons
	daemons  []*daemon
	source   *source
	total    int64 // bytes of the input
	space    node.SpaceInfo
	stored   node.Appended

	bootstrap, writer, seeder, reader *daemon // nil before they start
}

// Run runs the demo and returns what happened; OK tells the outcome. Its
// processes and folders are gone when it returns, also when ctx ended.
func Run(ctx context.Context, o Options) *Report {
	d := &demo{Options: o, progress: newProgress(o.Progress), report: &Report{
		Path: o.Path, Skipped: []Skipped{}, Steps: []Step{}, Nodes: []Node{}, Plaintext: []string{}, Providers: []string{},
	}}
	began := time.Now()
	err := d.run(ctx)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	err = errors.Join(err, d.cleanUp())
	d.report.Seconds = time.Since(began).Seconds()
	if d.report.OK = err == nil; err != nil {
		d.report.Error = &Failure{Code: "failed", Message: node.Message(err)}
	}
	return d.report
}

func (d *demo) run(ctx context.Context) (err error) {
	if d.exe, err = os.Executable(); err != nil {
		return err
	}
	if d.base, err = os.MkdirTemp("", "cobox-demo-"); err != nil {
		return err
	}
	own, err := os.Stat(d.base)
	if err != nil {
		return err
	}
	if d.source, err = openSource(d.Path, own); err != nil {
		return err
	}
	defer d.source.close()
	prefix := make([]byte, 8)
	rand.Read(prefix)
	d.dht = "private:/cobox-demo-" + hex.EncodeToString(prefix)
	return d.steps(ctx)
}

// cleanUp ends every process and removes the folders.
func (d *demo) cleanUp() error {
	for _, p := range d.daemons {
		p.kill()
	}
	if d.base == "" {
		return nil
	}
	if d.Keep {
		d.report.Kept = d.base
		return nil
	}
	// Restored folders may be closed to their owner.
	filepath.WalkDir(d.base, func(name string, e os.DirEntry, err error) error {
		if e != nil && e.IsDir() && err == nil {
			os.Chmod(name, 0o700)
		}
		return nil
	})
	if err := os.RemoveAll(d.base); err != nil {
		return fmt.Errorf("remove the demo's folder: %w", err)
	}
	return nil
}

// start runs a daemon that knows only the bootstrap node, or nobody.
func (d *demo) start(ctx context.Context, role string, bootstrap *daemon) (*daemon, error) {
	args := []string{"--listen", "/ip4/127.0.0.1/tcp/0", "--mdns=false", "--dht", d.dht}
	if bootstrap != nil {
		for _, a := range bootstrap.addrs {
			args = append(args, "--bootstrap", a)
		}
	}
	p, err := startDaemon(ctx, d.exe, d.base, role, args...)
	if err != nil {
		return nil, err
	}
	d.daemons = append(d.daemons, p)
	return p, nil
}

// note adds a node to the report.
func (d *demo) note(p *daemon, fate string) {
	d.report.Nodes = append(d.report.Nodes, Node{p.role, p.peerID, fate})
}
