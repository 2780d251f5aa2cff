package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// figure writes a figure with its unit.
func figure(u unit, value float64) string {
	switch {
	case u == seconds:
		return fmt.Sprintf("%.3f s", value)
	case u == mibPerSec:
		return fmt.Sprintf("%.0f MiB/s", value)
	}
	return fmt.Sprintf("%.0f/s", value)
}

// printTable writes one work as a table for people.
func printTable(w io.Writer, rep report) error {
	fmt.Fprintf(w, "\n%s: %s\n", rep.Name, rep.Title)
	fmt.Fprintf(w, "load of the machine %.2f before, %.2f after\n", rep.LoadBefore, rep.LoadAfter)
	if rep.Note != "" {
		fmt.Fprintln(w, rep.Note)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\tmedian\tfrom - to\tCPU s\tRSS MiB\tfds\tothers\tratio\ttarget")
	for i, s := range rep.Contenders {
		fmt.Fprintf(tw, "%s  %s\t%s\t%s - %s\t%.2f\t%s\t%s\t%.2f\t%s\t%s\n", letter(i), s.Name,
			figure(rep.Unit, s.Figure.Median),
			bare(rep.Unit, s.Figure.Min), bare(rep.Unit, s.Figure.Max),
			s.CPUSeconds.Median, known(s.RSS.Median/(1<<20)), known(float64(s.FDs)), s.Others.Median,
			ratioText(rep, s), targetText(rep, s))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, s := range rep.Contenders {
		if l := s.Latency; l != nil {
			fmt.Fprintf(w, "%s: half of the calls within %.2f ms, 99 of 100 within %.2f ms, the longest %.1f ms\n", s.Name, l.P50, l.P99, l.Max)
		}
	}
	return nil
}

// bare is figure without the unit.
func bare(u unit, value float64) string {
	return strings.TrimRight(strings.TrimSuffix(figure(u, value), string(u)), " ")
}

// known writes what the system may not tell.
func known(value float64) string {
	if value == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", value)
}

// letter names a contender where its name is too long.
func letter(i int) string { return string(rune('a' + i)) }

// ratioText says how the contender stands beside others, in their order.
func ratioText(rep report, s summary) string {
	var parts []string
	for i, other := range rep.Contenders {
		if r, ok := s.Ratios[other.Name]; ok {
			parts = append(parts, fmt.Sprintf("%.2f of %s (%.2f - %.2f)", r.Median, letter(i), r.Min, r.Max))
		}
	}
	return strings.Join(parts, ", ")
}

func targetText(rep report, s summary) string {
	var parts []string
	for _, v := range s.Targets {
		word := "missed"
		if v.Met {
			word = "met"
		}
		parts = append(parts, wanted(rep, v.target)+" "+word)
	}
	return strings.Join(parts, ", ")
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
	case t.RSS > 0:
		return fmt.Sprintf("%d MiB", t.RSS>>20)
	}
	return fmt.Sprintf("%d fds", t.FDs)
}
