package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// statusWhen asks for the status until it is as wanted.
func (d *daemon) statusWhen(what string, wanted func(node.Status) bool) (s node.Status) {
	d.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		s = node.Status{}
		if d.done(nil, &s, "status"); wanted(s) {
			return s
		}
	}
	d.t.Fatalf("%s: never came, last status %+v", what, s)
	return s
}

func TestParseLimits(t *testing.T) {
	for text, want := range map[string]uint64{"1": 1, "10k": 10 << 10, "2M": 2 << 20, "3G": 3 << 30, "1T": 1 << 40, " unlimited": 0} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5G", "G", "1P", "9223372036854775808", "8388608T", "x"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d", text, got)
		}
	}
	for text, want := range map[string]int{"1": 1, "4096": 4096, "Unlimited": 0} {
		if got, err := parseNumber(text); err != nil || got != want {
			t.Errorf("parseNumber(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "1K", "4294967296"} {
		if got, err := parseNumber(text); err == nil {
			t.Errorf("parseNumber(%q) = %d", text, got)
		}
	}
}

// A seeder whose space is full keeps nothing more, says so on both sides, and goes
// on when the limit is raised.
func TestLimitOfBytesOfASeeder(t *testing.T) {
	writer, seeder := startDaemon(t, initNode(t, "writer")), startDaemon(t, initNode(t, "seeder"))
	var space node.SpaceInfo
	writer.done(nil, &space, "space", "create", "photos")
	writer.done(bytes.NewReader(noise(600<<10, 1)), nil, "append", "photos")
	seeder.done(nil, nil, "space", "seed", space.Address, "photos")
	var l node.LimitStatus
	seeder.done(nil, &l, "limit", "photos", "--bytes", "256K", "--feeds", "5", "--peers", "3")
	if l.Bytes != 256<<10 || l.Feeds != 5 || l.Peers != 3 || l.Space != "photos" {
		t.Errorf("limit answered %+v", l)
	}
	seeder.done(nil, nil, "connect", writer.Addresses[0])
	s := writer.statusWhen("refusal at the writer", func(s node.Status) bool { return len(s.Spaces[0].RefusedBy) > 0 })
	if r := s.Spaces[0].RefusedBy[0]; r.PeerID != seeder.PeerID || r.Code != "bytes of the space" || r.Text == "" {
		t.Errorf("the writer knows %+v", r)
	}
	s = seeder.statusWhen("refusal at the seeder", func(s node.Status) bool { return len(s.Spaces[0].Refused) > 0 })
	if f := s.Spaces[0].Feeds[0]; f.Full == "" || f.Bytes > 256<<10 || s.Spaces[0].Limits == nil || s.Spaces[0].Limits.Stored > 256<<10 {
		t.Errorf("the seeder has %+v with limits %+v", f, s.Spaces[0].Limits)
	}
	if r := writer.cobox(nil, "status"); !strings.Contains(r.out, "refused by") {
		t.Errorf("status of the writer doesn't tell:\n%s", r.out)
	}
	if r := seeder.cobox(nil, "status"); !strings.Contains(r.out, "no more is taken in") || !strings.Contains(r.out, "limits") {
		t.Errorf("status of the seeder doesn't tell:\n%s", r.out)
	}
	seeder.done(nil, nil, "limit", "photos", "--bytes", "unlimited")
	writer.done(nil, nil, "sync", "photos")
	writer.statusWhen("end of the refusal", func(s node.Status) bool { return len(s.Spaces[0].RefusedBy) == 0 })
}

func TestLimitsAreRemembered(t *testing.T) {
	dir := initNode(t, "alice")
	d := startDaemon(t, dir, append([]string{"--up", "1M", "--bytes", "5G"}, quiet...)...)
	var l node.LimitStatus
	if d.done(nil, &l, "limit"); l.Up != "1M" || l.UpNow != 1<<20 || l.Bytes != 5<<30 {
		t.Errorf("limits of a run are %+v", l)
	}
	d.done(nil, nil, "space", "create", "photos")
	d.done(nil, nil, "limit", "--down", "2M, 22:00-06:00 unlimited")
	d.done(nil, nil, "limit", "photos", "--feed-bytes", "1G", "--up", "500K", "--announcements", "60")
	for _, args := range [][]string{
		{"limit", "--up", "12"}, {"limit", "--feeds", "3"}, {"limit", "photos", "--bytes", "much"}, {"limit", "nowhere", "--bytes", "1G"},
		{"limit", "--down", "1M, 25:00-26:00 1M"},
	} {
		if r := d.cobox(nil, args...); r.code != exitUse {
			t.Errorf("%v: exit code %d, %s", args, r.code, r.err)
		}
	}
	d.stop()
	d = startDaemon(t, dir)
	l = node.LimitStatus{}
	if d.done(nil, &l, "limit"); l.Up != "" || l.Bytes != 0 || l.Down != "2M, 22:00-06:00 unlimited" {
		t.Errorf("limits of the node are %+v", l)
	}
	l = node.LimitStatus{}
	if d.done(nil, &l, "limit", "photos"); l.FeedBytes != 1<<30 || l.UpNow != 500<<10 || l.Announcements != 60 {
		t.Errorf("limits of the space are %+v", l)
	}
	if r := d.cobox(nil, "limit", "photos"); r.code != exitDone || !strings.Contains(r.out, "500K a second") {
		t.Errorf("limit printed %q", r.out)
	}
	d.done(nil, nil, "space", "leave", "photos")
}

func TestBlockPeerAndFeed(t *testing.T) {
	writer, seeder := startDaemon(t, initNode(t, "writer")), startDaemon(t, initNode(t, "seeder"))
	var space node.SpaceInfo
	writer.done(nil, &space, "space", "create", "photos")
	var a node.Appended
	writer.done(strings.NewReader("hello"), &a, "append", "photos")
	seeder.done(nil, nil, "space", "seed", space.Address, "photos")
	var b node.Blocked
	seeder.done(nil, &b, "block", "peer", writer.PeerID)
	if len(b.Peers) != 1 || b.Peers[0] != writer.PeerID {
		t.Fatalf("blocked %+v", b)
	}
	if r := seeder.cobox(nil, "connect", writer.Addresses[0]); r.code != exitFailed || !strings.Contains(r.err, "blocked") {
		t.Errorf("connect to a blocked peer: %d %s", r.code, r.err)
	}
	seeder.done(nil, &b, "block", "peer", writer.PeerID, "--remove")
	seeder.done(nil, &b, "block", "feed", a.Feed)
	if len(b.Peers) != 0 || len(b.Feeds) != 1 {
		t.Fatalf("blocked %+v", b)
	}
	seeder.done(nil, nil, "connect", writer.Addresses[0])
	writer.statusWhen("refusal of a blocked feed", func(s node.Status) bool {
		return len(s.Spaces[0].RefusedBy) == 1 && s.Spaces[0].RefusedBy[0].Code == "blocked"
	})
	if r := seeder.cobox(nil, "block", "list"); !strings.Contains(r.out, a.Feed) {
		t.Errorf("block list printed %q", r.out)
	}
	seeder.done(nil, nil, "block", "feed", a.Feed, "--remove")
	writer.done(nil, nil, "sync", "photos")
	for _, args := range [][]string{
		{"block"}, {"block", "feed", "abc"}, {"block", "peer", "abc"}, {"block", "peer", seeder.PeerID}, {"block", "feed", strings.Repeat("0", 64)},
	} {
		if r := seeder.cobox(nil, args...); r.code != exitUse {
			t.Errorf("%v: exit code %d, %s", args, r.code, r.err)
		}
	}
	if r := writer.cobox(nil, "block", "feed", a.Feed); r.code != exitUse || !strings.Contains(r.err, "writes that feed") {
		t.Errorf("block of an own feed: %d %s", r.code, r.err)
	}
}

func TestSessionText(t *testing.T) {
	for want, x := range map[string]node.SessionStatus{
		"compares feeds": {TheyLack: 3},
		"has all that is here, nothing missing here":                          {Exchanged: true, Up: 5},
		"lacks 1 block, 2.0 KiB/s, 1m5s left; this node lacks nothing":        {Exchanged: true, TheyLack: 1, Up: 2048, UpLeft: 65.2},
		"lacks nothing; this node lacks 7 blocks, 0 B/s":                      {Exchanged: true, WeLack: 7, DownLeft: -1},
		"lacks 2 blocks, 1 B/s; this node lacks 3 blocks, 1.0 KiB/s, 2s left": {Exchanged: true, TheyLack: 2, Up: 1, UpLeft: -1, WeLack: 3, Down: 1024, DownLeft: 2},
	} {
		if got := sessionText(x); got != want {
			t.Errorf("%+v: %q, want %q", x, got, want)
		}
	}
}
