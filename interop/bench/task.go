package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// task is what one child process does: one measured section, after whatever it
// needs before. It goes to the child as JSON in its arguments, to ours and to
// those on npm alike.
type task struct {
	Do         string `json:"do"` // a name in tasks
	Dir        string `json:"dir"`
	Blocks     int    `json:"blocks,omitempty"`
	Size       int    `json:"size,omitempty"`  // bytes of a block
	Pool       int    `json:"pool,omitempty"`  // different blocks, used over and over
	Batch      int    `json:"batch,omitempty"` // blocks a call; 0: all in one stream
	Seal       bool   `json:"seal,omitempty"`  // encrypted
	Sync       int    `json:"sync,omitempty"`  // blocks between two syncs; 0: one at the end
	Behind     bool   `json:"behind,omitempty"`
	Fresh      bool   `json:"fresh,omitempty"` // a new buffer for each read
	Reads      int    `json:"reads,omitempty"`
	Warm       bool   `json:"warm,omitempty"` // everything is read once before
	Feeds      int    `json:"feeds,omitempty"`
	Goroutines int    `json:"goroutines,omitempty"`
}

// tasks are those that this program does itself; the peers on npm have some of
// them as well.
var tasks = map[string]func(context.Context, task, *meter) error{
	"append":       appendFeed,
	"append-each":  appendEach,
	"read":         readFeed,
	"make-set":     makeSet,
	"open-set":     openSet,
	"list-set":     listSet,
	"plain-append": plainAppend,
	"plain-read":   plainRead,
	"seal-hash":    sealAndHash,
}

// result is what a child measured. Rest is added by who started it.
type result struct {
	Seconds    float64  `json:"seconds"`
	CPUSeconds float64  `json:"cpuSeconds"` // of the measured section, all threads
	Count      int      `json:"count"`      // blocks, appends, reads or feeds
	Latency    *latency `json:"latency,omitempty"`

	RSS    uint64  `json:"rssBytes,omitempty"` // the most that the process had in memory, from its start on
	FDs    int     `json:"fds,omitempty"`      // the most open descriptors that were seen
	Others float64 `json:"otherCores"`         // cores that were busy with something else meanwhile
}

// latency is of single operations, in milliseconds.
type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// meter measures the one section of a task that counts.
type meter struct {
	in    io.Reader // ends when the process may go on
	out   io.Writer
	begun time.Time
	cpu   time.Duration
}

// start begins the section.
func (m *meter) start() {
	m.cpu = cpuTime()
	m.begun = time.Now()
}

// stop ends the section, reports it, and holds the process as it is until its
// standard input ends, so that it can be looked at. lat may be nil.
func (m *meter) stop(count int, lat *latency) error {
	r := result{Seconds: time.Since(m.begun).Seconds(), Count: count, Latency: lat}
	r.CPUSeconds = (cpuTime() - m.cpu).Seconds()
	if err := json.NewEncoder(m.out).Encode(r); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, m.in)
	return err
}

// runChild does the task that a parent gave to this process.
func runChild(ctx context.Context, text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	do, ok := tasks[t.Do]
	if !ok {
		return fmt.Errorf("no task %q", t.Do)
	}
	if err := do(ctx, t, &meter{in: os.Stdin, out: os.Stdout}); err != nil {
		return fmt.Errorf("%s: %w", t.Do, err)
	}
	return nil
}
