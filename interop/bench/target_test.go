package main

import (
	"strings"
	"testing"
)

// TestTargetsBetweenProcesses checks each kind of target just met and just missed.
func TestTargetsBetweenProcesses(t *testing.T) {
	s := summaryOf("ours", []float64{5}, []result{{
		Seconds: 2, CPUSeconds: 1, RSS: 10, Resident: 7,
		Latency: &latency{P50: 1, P99: 6, Max: 9}, Later: &latency{P50: 3},
		Wire: &traffic{In: 103}, Payload: 100, Beside: []side{{RSS: 30}, {RSS: 20}},
	}})
	for _, c := range []struct{ met, missed target }{
		{target{Seconds: 2}, target{Seconds: 1.9}},
		{target{Most: 5}, target{Most: 4.9}},
		{target{P99: 6}, target{P99: 5.9}},
		{target{Later: 3}, target{Later: 2.9}},
		{target{Over: 0.031}, target{Over: 0.029}},
		{target{Load: 0.5}, target{Load: 0.49}},
		{target{RSS: 30}, target{RSS: 29}},
		{target{Resident: 7}, target{Resident: 6}},
	} {
		if !c.met.met(s) || c.missed.met(s) {
			t.Errorf("%+v is met: %v, %+v: %v; want true, false", c.met, c.met.met(s), c.missed, c.missed.met(s))
		}
		if wanted(report{Unit: millis}, c.met) == "" {
			t.Errorf("%+v has no words", c.met)
		}
	}
	if (target{P99: 1}).met(summary{}) || (target{Later: 1}).met(summary{}) {
		t.Error("a latency that nobody measured meets a target")
	}
}

func TestFiguresBetweenProcesses(t *testing.T) {
	r := result{
		Seconds: 2, Frames: &traffic{In: 300, Out: 150}, Payload: 100,
		Wire: &traffic{In: 400, Out: 100}, Latency: &latency{P50: 1.5},
	}
	for _, c := range []struct {
		u    unit
		want float64
	}{{bytesAway, 200}, {bytesBoth, 350}, {kbitPer, 2}, {millis, 1.5}, {seconds, 2}} {
		if got := c.u.of(task{}, r); got != c.want {
			t.Errorf("figure in %s = %v, want %v", c.u, got, c.want)
		}
		if got := c.u.of(task{}, result{}); got != 0 {
			t.Errorf("figure of nothing in %s = %v, want 0", c.u, got)
		}
	}
}

// TestTableBetweenProcesses checks that both sides, the wire and what failed are
// in the table.
func TestTableBetweenProcesses(t *testing.T) {
	c := contender{Name: "ours", Task: task{Size: 1}}
	r := result{
		Seconds: 1, Count: 1 << 20, CPUSeconds: 1, RSS: 5 << 20, Remark: "half of it",
		Wire: &traffic{In: 2 << 20}, Payload: 1 << 20, Frames: &traffic{In: 7, Out: 8},
		Beside: []side{{CPUSeconds: 2, RSS: 6 << 20}, {CPUSeconds: 1, RSS: 7 << 20}},
	}
	var text strings.Builder
	rep := report{Unit: mibPerSec, Contenders: summarize(work{Unit: mibPerSec, Contenders: []contender{c}}, [][]result{{r}})}
	if err := printTable(&text, rep); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1.00 + 3.00", "5 / 7", "2.00", "100.0 %", "frames of 7 bytes came in and of 8 went out", "a: half of it"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}
