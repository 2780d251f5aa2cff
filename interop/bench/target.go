package main

import (
	"fmt"
	"slices"
)

// target is what a contender is hoped to reach. One field is set, Of with Ratio.
// A target that is missed is said so; nothing fails.
type target struct {
	Ratio    float64 `json:"ratio,omitempty"` // at least, of the figure of Of
	Of       string  `json:"of,omitempty"`
	Rate     float64 `json:"rate,omitempty"`          // at least, in the work's unit
	Seconds  float64 `json:"seconds,omitempty"`       // at most
	Most     float64 `json:"most,omitempty"`          // at most, in the work's unit
	P99      float64 `json:"p99,omitempty"`           // at most, milliseconds
	Later    float64 `json:"later,omitempty"`         // at most, milliseconds, the median
	Over     float64 `json:"over,omitempty"`          // at most, of what the blocks have
	Load     float64 `json:"load,omitempty"`          // at most, cores
	RSS      uint64  `json:"rssBytes,omitempty"`      // at most, of each process
	Resident uint64  `json:"residentBytes,omitempty"` // at most, at the end
	FDs      int     `json:"fds,omitempty"`           // at most
}

// met says whether the summary reaches the target.
func (t target) met(s summary) bool {
	switch {
	case t.Ratio > 0:
		return s.Ratios[t.Of].Median >= t.Ratio
	case t.Rate > 0:
		return s.Figure.Median >= t.Rate
	case t.Seconds > 0:
		return s.Seconds.Median <= t.Seconds
	case t.Most > 0:
		return s.Figure.Median <= t.Most
	case t.P99 > 0:
		return s.Latency != nil && s.Latency.P99 <= t.P99
	case t.Later > 0:
		return s.Later != nil && s.Later.P50 <= t.Later
	case t.Over > 0:
		return s.Over.Median <= t.Over
	case t.Load > 0:
		return s.Load.Median <= t.Load
	case t.RSS > 0:
		return max(s.RSS.Median, s.Beside.RSS.Median) <= float64(t.RSS)
	case t.Resident > 0:
		return s.Resident.Median <= float64(t.Resident)
	}
	return s.FDs <= t.FDs
}

// wanted says what a target is.
func wanted(rep report, t target) string {
	switch {
	case t.Ratio > 0:
		of := slices.IndexFunc(rep.Contenders, func(s summary) bool { return s.Name == t.Of })
		return fmt.Sprintf("%.2f of %s", t.Ratio, letter(of))
	case t.Rate > 0:
		return figure(rep.Unit, t.Rate)
	case t.Seconds > 0:
		return fmt.Sprintf("%.1f s", t.Seconds)
	case t.Most > 0:
		return figure(rep.Unit, t.Most)
	case t.P99 > 0:
		return fmt.Sprintf("99 of 100 in %.0f ms", t.P99)
	case t.Later > 0:
		return fmt.Sprintf("a block in %.0f ms", t.Later)
	case t.Over > 0:
		return fmt.Sprintf("%.1f %% over", 100*t.Over)
	case t.Load > 0:
		return fmt.Sprintf("%.2f cores", t.Load)
	case t.RSS > 0:
		return fmt.Sprintf("%d MiB", t.RSS>>20)
	case t.Resident > 0:
		return fmt.Sprintf("%d MiB at the end", t.Resident>>20)
	}
	return fmt.Sprintf("%d fds", t.FDs)
}
