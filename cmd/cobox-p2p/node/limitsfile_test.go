package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLimitsFile(t *testing.T) {
	dir := t.TempDir()
	f, err := readLimits(dir)
	if err != nil || f.Version != limitsVersion || f.Spaces == nil {
		t.Fatalf("without a file: %+v, %v", f, err)
	}
	f.Node = Limits{Up: "1M, 22:00-06:00 unlimited", Bytes: 5}
	f.Spaces["ab"] = Limits{Feeds: 3, Down: "2K"}
	f.Blocked.Peers = []string{"12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"}
	if err := writeLimits(dir, f); err != nil {
		t.Fatal(err)
	}
	got, err := readLimits(dir)
	if err != nil || got.Node != f.Node || got.Spaces["ab"] != f.Spaces["ab"] || len(got.Blocked.Peers) != 1 {
		t.Errorf("read %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"empty": "", "no object": "[]", "version": `{"version":2}`, "unknown": `{"version":1,"limit":3}`, "two": `{"version":1}{}`,
		"rate": `{"version":1,"node":{"up":"12"}}`, "below 0": `{"version":1,"spaces":{"ab":{"feeds":-1}}}`,
		"feed": `{"version":1,"blocked":{"feeds":["abcd"]}}`, "weak feed": `{"version":1,"blocked":{"feeds":["` + strings.Repeat("0", 64) + `"]}}`,
		"peer": `{"version":1,"blocked":{"peers":["abcd"]}}`,
		"many": `{"version":1,"blocked":{"peers":[` + strings.Repeat(`"x",`, MaxBlocked) + `"x"]}}`,
	} {
		if _, err := decodeLimits([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, limitsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLimits(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged file: %v", err)
	}
}

func FuzzLimitsFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"node":{"up":"1M","bytes":7},"spaces":{"ab":{"feeds":1}},"blocked":{"feeds":[],"peers":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) { decodeLimits(data) })
}

func TestLimitChange(t *testing.T) {
	up, feeds := "1M", 0
	got := LimitChange{Up: &up, Feeds: &feeds}.of(Limits{Up: "2M", Down: "3M", Feeds: 7, Bytes: 9})
	if want := (Limits{Up: "1M", Down: "3M", Bytes: 9}); got != want {
		t.Errorf("changed to %+v, want %+v", got, want)
	}
	for _, l := range []Limits{{Up: "x"}, {Down: "12"}, {Feeds: -1}, {Peers: -1}, {Announcements: -1}} {
		err := l.check()
		if _, use := errors.AsType[*UseError](err); !use {
			t.Errorf("%+v: %v, want a UseError", l, err)
		}
	}
}
