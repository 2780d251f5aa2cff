package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
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

	// Of tasks that take several processes. Blocks is then that of each feed.
	From     []remote `json:"from,omitempty"`     // those that answer
	Changed  int      `json:"changed,omitempty"`  // feeds that have one block more
	Spaces   int      `json:"spaces,omitempty"`   // joined
	Nodes    int      `json:"nodes,omitempty"`    // of a DHT, two at least
	EveryMs  int      `json:"everyMs,omitempty"`  // between two appends
	SettleMs int      `json:"settleMs,omitempty"` // before what counts begins
	Skip     int      `json:"skip,omitempty"`     // first ones that don't count
	WindowMs int      `json:"windowMs,omitempty"` // that is looked at

	Profile string `json:"profile,omitempty"` // folder for what the processor was busy with
}

// remote is where a process answers: what it prints when it is ready.
type remote struct {
	ID   string `json:"id,omitempty"`   // of a libp2p host
	Port int    `json:"port,omitempty"` // on 127.0.0.1
	Dir  string `json:"dir,omitempty"`  // its folder, which who starts it adds
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
	"rest":         func(_ context.Context, _ task, m *meter) error { m.start(); return m.stop(0, nil) },

	"make-space":   makeSpace,
	"serve":        serveSpace,
	"fetch":        fetchSpace,
	"meet":         meetAgain,
	"serve-bare":   serveBare,
	"fetch-bare":   fetchBare,
	"serve-live":   serveLive,
	"fetch-live":   fetchLive,
	"serve-spaces": serveSpaces,
	"idle":         idleSpaces,
	"serve-dht":    serveDHT,
	"join":         joinSpaces,
}

// result is what a child measured. Rest is added by who started it.
type result struct {
	Seconds    float64  `json:"seconds"`
	CPUSeconds float64  `json:"cpuSeconds"` // of the measured section, all threads
	Count      int      `json:"count"`      // blocks, appends, reads or feeds
	Latency    *latency `json:"latency,omitempty"`
	// Later is the latency of what comes after that of Latency.
	Later  *latency `json:"later,omitempty"`
	Wire   *traffic `json:"wire,omitempty"`   // on the TCP connections
	Frames *traffic `json:"frames,omitempty"` // of the sessions, inside TLS
	// Payload is how many bytes of blocks are in what came in.
	Payload uint64 `json:"payloadBytes,omitempty"`
	Remark  string `json:"remark,omitempty"`

	Beside   []side  `json:"beside,omitempty"`        // the processes it worked with
	Resident uint64  `json:"residentBytes,omitempty"` // in memory at the end
	RSS      uint64  `json:"rssBytes,omitempty"`      // the most that the process had in memory, from its start on
	FDs      int     `json:"fds,omitempty"`           // the most open descriptors that were seen
	Others   float64 `json:"otherCores"`              // cores that were busy with something else meanwhile
}

// traffic is bytes, seen from the process that measures.
type traffic struct {
	In  uint64 `json:"in"`
	Out uint64 `json:"out"`
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

// read returns what the section took until now.
func (m *meter) read(count int) result {
	r := result{Seconds: time.Since(m.begun).Seconds(), Count: count}
	r.CPUSeconds = (cpuTime() - m.cpu).Seconds()
	return r
}

// stop ends the section and reports it. lat may be nil.
func (m *meter) stop(count int, lat *latency) error {
	r := m.read(count)
	r.Latency = lat
	return m.report(r)
}

// report prints a result, or where the process answers, and holds the process as
// it is until its standard input ends, so that it can be looked at.
func (m *meter) report(v any) error {
	if err := json.NewEncoder(m.out).Encode(v); err != nil {
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
	stop, err := profile(t)
	if err != nil {
		return err
	}
	defer stop()
	if err := do(ctx, t, &meter{in: os.Stdin, out: os.Stdout}); err != nil {
		return fmt.Errorf("%s: %w", t.Do, err)
	}
	return nil
}

// profile begins to write a CPU profile of this process, where the task asks for
// one.
func profile(t task) (stop func(), err error) {
	if t.Profile == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(t.Profile, fmt.Sprintf("%s-%d.pprof", t.Do, os.Getpid())))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}
