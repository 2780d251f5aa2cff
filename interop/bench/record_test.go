package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	o := outcome{
		Command: settings{rounds: 5, only: "move"}.command(),
		Machine: machine{Time: time.Date(2030, 2, 1, 12, 0, 0, 0, time.UTC), System: "linux/amd64", Cores: 2},
		Works:   []report{{Name: "move", Unit: perSecond}},
	}
	if err := o.record(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "2030-02-01-linux-amd64-2-cores.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 February 2030, 12:00 UTC", "go run ./interop/bench --rounds 5 --npm=false --only move", "move: "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	figures, err := os.ReadFile(filepath.Join(dir, "2030-02-01-linux-amd64-2-cores.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back outcome
	if err := json.Unmarshal(figures, &back); err != nil || len(back.Works) != 1 || back.Command != o.Command {
		t.Errorf("read back %+v, %v", back, err)
	}
}
