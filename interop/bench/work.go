package main

// work is one thing that several contenders do.
type work struct {
	Name  string // as --only takes it
	Title string
	Unit  unit
	Note  string // what a reader must know to compare with npm, or empty
	// Cold makes the files leave the system's cache before each run.
	Cold       bool
	Contenders []contender
}

// contender is one way to do a work.
type contender struct {
	Name string
	Peer string // the folder in peers that does it, or empty: this program
	Task task
	// Make, if set, fills a folder once, on which all runs work then. Without it
	// each run has a folder of its own.
	Make    *task
	Beside  []string // contenders to whose figures of the same round it is compared
	Targets []target
}

// unit is what the figure of a run is in.
type unit string

// The units. Of seconds less is better, of all others more.
const (
	perSecond unit = "/s"
	mibPerSec unit = "MiB/s"
	seconds   unit = "s"
)

// of returns the figure of one run.
func (u unit) of(t task, r result) float64 {
	switch {
	case u == seconds:
		return r.Seconds
	case r.Seconds == 0:
		return 0
	case u == mibPerSec:
		return float64(r.Count) * float64(t.Size) / (1 << 20) / r.Seconds
	}
	return float64(r.Count) / r.Seconds
}

// target is what a contender is hoped to reach. One field is set, Of with
// Ratio. A target that is missed is said so; nothing fails.
type target struct {
	Ratio   float64 `json:"ratio,omitempty"` // at least, of the figure of Of
	Of      string  `json:"of,omitempty"`
	Rate    float64 `json:"rate,omitempty"`     // at least, in the work's unit
	Seconds float64 `json:"seconds,omitempty"`  // at most
	RSS     uint64  `json:"rssBytes,omitempty"` // at most
	FDs     int     `json:"fds,omitempty"`      // at most
}

// met says whether the summary reaches the target.
func (t target) met(s summary) bool {
	switch {
	case t.Ratio > 0:
		return s.Ratios[t.Of].Median >= t.Ratio
	case t.Rate > 0:
		return s.Figure.Median >= t.Rate
	case t.Seconds > 0:
		return s.Figure.Median <= t.Seconds
	case t.RSS > 0:
		return s.RSS.Median <= float64(t.RSS)
	}
	return s.FDs <= t.FDs
}
