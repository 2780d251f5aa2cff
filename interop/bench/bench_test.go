package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes the test program a child when a test starts it as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// smoke is the smallest scale, which runs in seconds.
var smoke = scale{
	small: 3000, large: 96, each: 300, cold: 16, cached: 64,
	sets: []setSize{{40, []target{{Seconds: 60}, {RSS: 1}, {FDs: 1 << 20}}}},
	lines: lineScale{
		large: 48, kilo: 300, small: 300, part: 10,
		feeds:  []feedScale{{30, true, []target{{Seconds: 60}}}},
		meets:  []meetScale{{30, 0, nil}, {30, 3, []target{{Most: 1}}}},
		seeded: 48, live: 20, joins: 1, nodes: 4,
		idle: 4, idleMs: 100, quietMs: 50,
	},
}

// TestSmoke runs every work once without npm.
func TestSmoke(t *testing.T) {
	// Else each child with the race detector waits a second before it ends.
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	var out bytes.Buffer
	s := settings{rounds: 1, dir: t.TempDir(), json: true}
	if err := runWorks(t.Context(), s, works(smoke), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var got outcome
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := workNames(works(smoke))
	if !canDropCache {
		want = append(want[:5:5], want[6:]...)
	}
	names := []string{}
	for _, rep := range got.Works {
		names = append(names, rep.Name)
		for _, c := range rep.Contenders {
			checkSummary(t, rep, c)
		}
		if err := printTable(io.Discard, rep); err != nil {
			t.Error(err)
		}
	}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("works = %v, want %v", names, want)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left behind, %v", len(left), err)
	}
}

func checkSummary(t *testing.T, rep report, c summary) {
	t.Helper()
	if len(c.Rounds) != 1 {
		t.Errorf("%s, %s: %d rounds, want 1", rep.Name, c.Name, len(c.Rounds))
	}
	if c.Figure.Median <= 0 && rep.Unit != kbitPer || c.Figure.Min > c.Figure.Median || c.Figure.Median > c.Figure.Max {
		t.Errorf("%s, %s: figures %+v", rep.Name, c.Name, c.Figure)
	}
	if canDropCache && (c.RSS.Median < 1<<20 || c.FDs < 3) {
		t.Errorf("%s, %s: %.0f bytes in memory, %d descriptors", rep.Name, c.Name, c.RSS.Median, c.FDs)
	}
	if c.Beside.Processes > 0 {
		checkBeside(t, rep, c)
	}
	if strings.HasPrefix(rep.Name, "durable") && c.Name == "ours" && (c.Latency == nil || c.Latency.P50 <= 0) {
		t.Errorf("%s, %s: latency %+v", rep.Name, c.Name, c.Latency)
	}
}

// TestProfile checks that each child of ours leaves a profile.
func TestProfile(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	s := settings{rounds: 1, dir: t.TempDir(), profile: t.TempDir(), json: true}
	if err := runWorks(t.Context(), s, works(smoke)[:1], io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	if found, err := filepath.Glob(filepath.Join(s.profile, "append-*.pprof")); err != nil || len(found) != 2 {
		t.Errorf("profiles %v, %v, want two of append", found, err)
	}
}

// checkBeside checks what is known of a contender that works with others.
func checkBeside(t *testing.T, rep report, c summary) {
	t.Helper()
	if canDropCache && (c.Beside.RSS.Median < 1<<20 || c.Beside.FDs < 3) {
		t.Errorf("%s, %s: the others %+v", rep.Name, c.Name, c.Beside)
	}
	wantServers := 1
	if rep.Name == "seeders" {
		wantServers = seederCount
	}
	if c.Beside.Processes != wantServers {
		t.Errorf("%s, %s: %d others, want %d", rep.Name, c.Name, c.Beside.Processes, wantServers)
	}
	r := c.Rounds[0]
	if rep.Name == "live" || rep.Name == "join" {
		if r.Latency == nil || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 {
			t.Errorf("%s, %s: latency %+v", rep.Name, c.Name, r.Latency)
		}
		return
	}
	if canDropCache && (r.Wire == nil || r.Wire.In < r.Payload) {
		t.Errorf("%s, %s: %+v on the wire, want %d bytes of blocks in it", rep.Name, c.Name, r.Wire, r.Payload)
	}
	if r.Frames != nil && canDropCache && (r.Frames.In < r.Payload || r.Frames.In > r.Wire.In) {
		t.Errorf("%s, %s: frames %+v, wire %+v, blocks %d", rep.Name, c.Name, r.Frames, r.Wire, r.Payload)
	}
}

// TestNothingHalfDone checks that a task that fails is said so, and that nothing
// is left behind.
func TestNothingHalfDone(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	s := settings{rounds: 1, dir: t.TempDir(), json: true}
	nothing := task{Do: "nothing"}
	for _, c := range []contender{
		{Task: nothing},
		{Task: task{Do: "plain-append"}, Make: &nothing},
		{Task: task{Do: "plain-append"}, Serve: &nothing, Limit: 1},
		{Task: nothing, Serve: &task{Do: "serve", Feeds: 1}, Servers: 2, Limit: 1},
	} {
		w := work{Name: "none", Unit: perSecond, Contenders: []contender{c}}
		err := runWorks(t.Context(), s, []work{w}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), `no task "nothing"`) {
			t.Errorf("error = %v, want the child's own words", err)
		}
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left behind, %v", len(left), err)
	}
}

func TestWorks(t *testing.T) {
	for _, s := range []scale{full, short, smoke} {
		seen := map[string]bool{}
		for _, w := range works(s) {
			if seen[w.Name] {
				t.Errorf("two works are called %q", w.Name)
			}
			seen[w.Name] = true
			names := map[string]bool{}
			for _, c := range w.Contenders {
				if names[c.Name] {
					t.Errorf("%s: two contenders are called %q", w.Name, c.Name)
				}
				names[c.Name] = true
			}
			for _, c := range w.Contenders {
				for _, other := range c.Beside {
					if !names[other] {
						t.Errorf("%s: %s is beside %q, which isn't there", w.Name, c.Name, other)
					}
				}
				for _, do := range []*task{&c.Task, c.Make, c.Start, c.Serve} {
					if do != nil && tasks[do.Do] == nil {
						t.Errorf("%s: %s does %q, which isn't there", w.Name, c.Name, do.Do)
					}
				}
			}
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct{ only, want string }{
		{"durable-1", "durable-1"},
		{"durable,large", "large durable-1 durable-64"},
		{"read", "read-cold read-cached"},
		{"feeds-10000", "feeds-10000"},
		{"replication", strings.Join(workNames(lineWorks(fullLines)), " ")},
		{"store", strings.Join(workNames(works(full)[:9]), " ")},
	} {
		got, err := choose(works(full), c.only)
		if names := strings.Join(workNames(got), " "); err != nil || names != c.want {
			t.Errorf("choose %q = %q, %v, want %q", c.only, names, err, c.want)
		}
	}
	if _, err := choose(works(full), "large,huge"); err == nil {
		t.Error("an unknown work was taken")
	}
	if all, err := choose(works(full), ""); err != nil || len(all) != len(works(full)) {
		t.Errorf("%d works, %v", len(all), err)
	}
}

func TestArguments(t *testing.T) {
	s, err := parse([]string{"--rounds", "3", "--short", "--npm=false", "--json", "--only", "large"}, io.Discard)
	if want := (settings{warmups: 1, rounds: 3, short: true, json: true, only: "large"}); err != nil || s != want {
		t.Errorf("parse = %+v, %v, want %+v", s, err, want)
	}
	for rounds, args := range map[int][]string{5: nil, 1: {"--short"}} {
		if s, err := parse(args, io.Discard); err != nil || s.rounds != rounds {
			t.Errorf("parse %v = %d rounds, %v, want %d", args, s.rounds, err, rounds)
		}
	}
	for _, args := range [][]string{{"--rounds", "-1"}, {"large"}, {"--no"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error = %v, want %v", err, flag.ErrHelp)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{4, 1}, spread{2.5, 1, 4}},
		{[]float64{9, 1, 2}, spread{2, 1, 9}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("spreadOf %v = %+v, want %+v", c.values, got, c.want)
		}
	}
}

// TestSummary has one contender that slows down by half in the second round, as
// the machine does: the ratio doesn't move.
func TestSummary(t *testing.T) {
	big := task{Size: 1 << 20}
	w := work{Unit: mibPerSec, Contenders: []contender{
		{Name: "plain", Task: big},
		{Name: "ours", Task: big, Beside: []string{"plain", "absent"}, Targets: []target{
			{Ratio: 0.5, Of: "plain"}, {Ratio: 0.6, Of: "plain"}, {Ratio: 1, Of: "absent"},
			{Rate: 75}, {Rate: 76}, {RSS: 9}, {RSS: 10}, {FDs: 7}, {FDs: 8},
		}},
	}}
	got := summarize(w, [][]result{
		{{Seconds: 1, Count: 200}, {Seconds: 1, Count: 100}},
		{{Seconds: 1, Count: 100, RSS: 10, FDs: 8}, {Seconds: 1, Count: 50, RSS: 10, FDs: 2}},
	})
	ours := got[1]
	if want := (spread{75, 50, 100}); ours.Figure != want {
		t.Errorf("figure = %+v, want %+v", ours.Figure, want)
	}
	if want := (spread{0.5, 0.5, 0.5}); ours.Ratios["plain"] != want {
		t.Errorf("ratio = %+v, want %+v", ours.Ratios["plain"], want)
	}
	met := []bool{}
	for _, v := range ours.Targets {
		met = append(met, v.Met)
	}
	if want := []bool{true, false, true, false, false, true, false, true}; fmt.Sprint(met) != fmt.Sprint(want) {
		t.Errorf("targets met: %v, want %v", met, want)
	}
	text := targetText(report{Unit: mibPerSec, Contenders: got}, ours)
	if want := "0.50 of a met, 0.60 of a missed, 75 MiB/s met"; !strings.HasPrefix(text, want) {
		t.Errorf("targets as text: %q, want %q...", text, want)
	}
}

func TestLatency(t *testing.T) {
	took := []time.Duration{}
	for i := range 101 {
		took = append(took, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := *latencyOf(took), (latency{P50: 50, P99: 99, Max: 100}); got != want {
		t.Errorf("latency = %+v, want %+v", got, want)
	}
	if latencyOf(nil) != nil {
		t.Error("a latency of nothing")
	}
}

// TestOrder checks that every block is read once before any is read again.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	if err := writeOrder(dir, 1000); err != nil {
		t.Fatal(err)
	}
	order, err := readOrder(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, seq := range order {
		seen[seq] = seq >= 0 && seq < 1000
	}
	if len(order) != 1000 || len(seen) != 1000 {
		t.Errorf("%d numbers, %d of them different, want 1000", len(order), len(seen))
	}
}

func TestTail(t *testing.T) {
	out := tail{most: 4}
	fmt.Fprint(&out, "abc")
	fmt.Fprint(&out, "defg")
	if got := out.String(); got != "defg" {
		t.Errorf("the last bytes are %q, want %q", got, "defg")
	}
}
