package multifeed

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseSchedule(t *testing.T) {
	for text, want := range map[string]string{
		"unlimited": "unlimited", " Unlimited ": "unlimited", "1024": "1K", "1025": "1025", "500k": "500K", "2048K": "2M", "1g": "1G",
		"1M,22:00-06:00 unlimited":                    "1M, 22:00-06:00 unlimited",
		"1M, 8:30-9:00   64K ,  00:00-23:59 1G":       "1M, 08:30-09:00 64K, 00:00-23:59 1G",
		"unlimited, 08:00-18:00 200K, 18:00-08:00 1M": "unlimited, 08:00-18:00 200K, 18:00-08:00 1M",
	} {
		s, err := ParseSchedule(text)
		if err != nil || s.String() != want {
			t.Errorf("ParseSchedule(%q) = %q, %v, want %q", text, s, err, want)
		}
	}
	many := func(n int) string { return "1M" + strings.Repeat(", 01:00-02:00 1M", n) }
	if _, err := ParseSchedule(many(MaxWindows)); err != nil {
		t.Errorf("%d windows: %v", MaxWindows, err)
	}
	for _, text := range []string{
		"", "0", "0K", "1023", "-1", "1.5M", "1T", "M", "9223372036854775808", "9007199254740992K", "9000000000000000G",
		"1M,", "1M, 22:00-06:00", "1M, 22:00 1M", "1M, 24:00-01:00 1M", "1M, 10:00-10:00 1M", "1M, 10:60-11:00 1M", "1M, 10:00-11:00 1023",
		many(MaxWindows + 1),
	} {
		if s, err := ParseSchedule(text); !errors.Is(err, ErrSchedule) {
			t.Errorf("ParseSchedule(%.40q) = %v, %v, want ErrSchedule", text, s, err)
		}
	}
}

func TestScheduleCheck(t *testing.T) {
	bad := []Schedule{
		{Rate: MinRate - 1}, {Rate: 1 << 63}, {Windows: []Window{{0, 0, 0}}}, {Windows: []Window{{-1, 5, 0}}},
		{Windows: []Window{{5, 1440, 0}}}, {Windows: []Window{{5, 6, MinRate - 1}}}, {Windows: make([]Window, MaxWindows+1)},
	}
	for i, s := range bad {
		if err := s.Check(); !errors.Is(err, ErrSchedule) {
			t.Errorf("schedule %d: %v, want ErrSchedule", i, err)
		}
	}
	for i, s := range []Schedule{{}, {Rate: MinRate}, {Rate: 1<<63 - 1}, {Windows: []Window{{0, 1439, MinRate}}}} {
		if err := s.Check(); err != nil {
			t.Errorf("schedule %d: %v", i, err)
		}
	}
}

func TestScheduleAt(t *testing.T) {
	s, err := ParseSchedule("1M, 12:00-12:05 5M, 08:00-18:00 2M, 22:00-06:00 unlimited")
	if err != nil {
		t.Fatal(err)
	}
	at := func(clock string) time.Time {
		when, err := time.Parse("2006-01-02 15:04:05", "2026-03-01 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, c := range []struct {
		at   string
		rate Rate
		left time.Duration
	}{
		{"05:59:59", 0, time.Second},
		{"06:00:00", 1 << 20, time.Hour},
		{"07:30:30", 1 << 20, 29*time.Minute + 30*time.Second},
		{"08:00:00", 2 << 20, time.Hour},
		{"11:59:00", 2 << 20, time.Minute},
		{"12:00:00", 5 << 20, 5 * time.Minute},
		{"12:05:00", 2 << 20, time.Hour},
		{"17:59:59", 2 << 20, time.Second},
		{"18:00:00", 1 << 20, time.Hour},
		{"21:59:00", 1 << 20, time.Minute},
		{"22:00:00", 0, time.Hour},
		{"23:30:00", 0, time.Hour},
		{"00:00:00", 0, time.Hour},
	} {
		rate, until := s.At(at(c.at))
		if rate != c.rate || until.Sub(at(c.at)) != c.left {
			t.Errorf("At(%s) = %v for %v, want %v for %v", c.at, rate, until.Sub(at(c.at)), c.rate, c.left)
		}
	}
	if s.Unlimited() || (Schedule{Windows: []Window{{0, 5, MinRate}}}).Unlimited() || !(Schedule{}).Unlimited() {
		t.Error("Unlimited tells something else")
	}
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("500K, 22:00-06:00 unlimited")
	f.Add("1M, 8:30-9:00 64K")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		again, err := ParseSchedule(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("ParseSchedule(%q) = %q, and that is %q, %v", text, s, again, err)
		}
	})
}
