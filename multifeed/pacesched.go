package multifeed

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// MinRate is the lowest limit of a rate, in bytes a second. Below it a block
	// would take so long that peers give it up.
	MinRate = 1 << 10
	// MaxWindows is how many times of day a Schedule tells apart.
	MaxWindows = 48
	// minutesOfDay is what a Window counts in.
	minutesOfDay = 24 * 60
)

// Rate is a limit in bytes of frames a second. 0 is no limit.
type Rate uint64

// Window is a time of day with a rate of its own: from minute From of the day,
// counted from midnight by the local clock, up to minute To, which may lie before
// it: then the window goes past midnight. From and To are 0 to 1439 and differ.
type Window struct {
	From, To int
	Rate     Rate
}

// Schedule is a rate, and others at some times of day. Where windows overlap the
// first counts. The zero Schedule is no limit.
type Schedule struct {
	Rate    Rate
	Windows []Window
}

// ErrSchedule is wrapped by what ParseSchedule and Check return.
var ErrSchedule = errors.New("multifeed: not a schedule of rates")

// ParseSchedule reads a rate and behind commas others for times of day, as in
// "500K, 22:00-06:00 unlimited": bytes a second, with K, M or G for 2^10, 2^20 or
// 2^30 of them, at least MinRate, or "unlimited".
func ParseSchedule(text string) (s Schedule, err error) {
	parts := strings.Split(text, ",")
	if s.Rate, err = ParseRate(parts[0]); err != nil {
		return Schedule{}, err
	}
	for _, part := range parts[1:] {
		times, rate, _ := strings.Cut(strings.TrimSpace(part), " ")
		from, to, _ := strings.Cut(times, "-")
		var w Window
		if w.From, err = parseMinute(from); err == nil {
			w.To, err = parseMinute(to)
		}
		if err == nil {
			w.Rate, err = ParseRate(rate)
		}
		if err != nil {
			return Schedule{}, err
		}
		s.Windows = append(s.Windows, w)
	}
	if err := s.Check(); err != nil {
		return Schedule{}, err
	}
	return s, nil
}

// Check returns an error that wraps ErrSchedule for a rate under MinRate, more than
// MaxWindows windows, or one of them that is none.
func (s Schedule) Check() error {
	if len(s.Windows) > MaxWindows {
		return fmt.Errorf("%w: over %d times of day", ErrSchedule, MaxWindows)
	}
	if err := s.Rate.check(); err != nil {
		return err
	}
	for _, w := range s.Windows {
		if w.From == w.To || min(w.From, w.To) < 0 || max(w.From, w.To) >= minutesOfDay {
			return fmt.Errorf("%w: the time of day from minute %d to %d", ErrSchedule, w.From, w.To)
		}
		if err := w.Rate.check(); err != nil {
			return err
		}
	}
	return nil
}

// String returns what ParseSchedule reads.
func (s Schedule) String() string {
	var b strings.Builder
	b.WriteString(s.Rate.String())
	for _, w := range s.Windows {
		fmt.Fprintf(&b, ", %02d:%02d-%02d:%02d %s", w.From/60, w.From%60, w.To/60, w.To%60, w.Rate)
	}
	return b.String()
}

// Unlimited says whether there is no limit at any time.
func (s Schedule) Unlimited() bool {
	for _, w := range s.Windows {
		if w.Rate != 0 {
			return false
		}
	}
	return s.Rate == 0
}

// At returns the rate at t by the clock of t's location, and a time before which it
// doesn't change. That is less than a day ahead, and so soon that a clock that is
// put forward or back is followed within an hour.
func (s Schedule) At(t time.Time) (r Rate, until time.Time) {
	minute := t.Hour()*60 + t.Minute()
	r = s.Rate
	for _, w := range s.Windows {
		if w.holds(minute) {
			r = w.Rate
			break
		}
	}
	next := 60
	for _, w := range s.Windows {
		for _, edge := range [2]int{w.From, w.To} {
			if ahead := (edge - minute + minutesOfDay) % minutesOfDay; ahead > 0 {
				next = min(next, ahead)
			}
		}
	}
	into := time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
	return r, t.Add(time.Duration(next)*time.Minute - into)
}

func (w Window) holds(minute int) bool {
	if w.From < w.To {
		return minute >= w.From && minute < w.To
	}
	return minute >= w.From || minute < w.To
}

func parseMinute(text string) (int, error) {
	t, err := time.Parse("15:04", strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("%w: %q is no time of day, as 22:00", ErrSchedule, clipText(text))
	}
	return t.Hour()*60 + t.Minute(), nil
}

// units are what K, M and G stand for.
var units = []struct {
	letter string
	bytes  uint64
}{{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

// ParseRate reads one rate; see ParseSchedule.
func ParseRate(text string) (Rate, error) {
	text = strings.ToUpper(strings.TrimSpace(text))
	if text == "UNLIMITED" {
		return 0, nil
	}
	unit := uint64(1)
	for _, u := range units {
		if number, ok := strings.CutSuffix(text, u.letter); ok {
			text, unit = number, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%w: %q is no rate, as 500K or unlimited", ErrSchedule, clipText(text))
	}
	r := Rate(n * unit)
	if r == 0 {
		return 0, fmt.Errorf("%w: a rate is at least %d bytes a second", ErrSchedule, MinRate)
	}
	return r, r.check()
}

func (r Rate) check() error {
	if r != 0 && r < MinRate || r > math.MaxInt64 {
		return fmt.Errorf("%w: a rate is at least %d bytes a second", ErrSchedule, MinRate)
	}
	return nil
}

// String returns what ParseRate reads.
func (r Rate) String() string {
	if r == 0 {
		return "unlimited"
	}
	for _, u := range units {
		if uint64(r)%u.bytes == 0 {
			return strconv.FormatUint(uint64(r)/u.bytes, 10) + u.letter
		}
	}
	return strconv.FormatUint(uint64(r), 10)
}

// clipText keeps what somebody typed from filling a message.
func clipText(text string) string {
	if len(text) > 40 {
		return text[:40] + "..."
	}
	return text
}
