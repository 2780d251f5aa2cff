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
	switch u {
	case seconds:
		return fmt.Sprintf("%.3f s", value)
	case millis:
		return fmt.Sprintf("%.2f ms", value)
	case kbitPer:
		return fmt.Sprintf("%.2f kbit/s", value)
	case perSecond:
		return fmt.Sprintf("%.0f/s", value)
	}
	return fmt.Sprintf("%.0f %s", value, u)
}

// printTable writes one work as a table for people.
func printTable(w io.Writer, rep report) error {
	fmt.Fprintf(w, "\n%s: %s\n", rep.Name, rep.Title)
	fmt.Fprintf(w, "load of the machine %.2f before, %.2f after\n", rep.LoadBefore, rep.LoadAfter)
	if rep.Note != "" {
		fmt.Fprintln(w, rep.Note)
	}
	wire := slices.ContainsFunc(rep.Contenders, func(s summary) bool { return s.Wire != nil })
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "\tmedian\tfrom - to\tCPU s\tRSS MiB\tfds\tothers\t"
	if wire {
		head += "wire MiB\tover\t"
	}
	fmt.Fprintln(tw, head+"ratio\ttarget")
	for i, s := range rep.Contenders {
		fmt.Fprintf(tw, "%s  %s\t%s\t%s - %s\t%s\t%s\t%s\t%.2f\t", letter(i), s.Name,
			figure(rep.Unit, s.Figure.Median),
			bare(rep.Unit, s.Figure.Min), bare(rep.Unit, s.Figure.Max),
			cpuText(s), rssText(s), known(float64(s.FDs)), s.Others.Median)
		if wire {
			fmt.Fprintf(tw, "%s\t%s\t", wireText(s), overText(rep.Unit, s))
		}
		fmt.Fprintf(tw, "%s\t%s\n", ratioText(rep, s), targetText(rep, s))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for i, s := range rep.Contenders {
		printMore(w, letter(i), s)
	}
	return nil
}

// printMore writes what no column is for.
func printMore(w io.Writer, name string, s summary) {
	switch l, later := s.Latency, s.Later; {
	case l != nil && later != nil:
		fmt.Fprintf(w, "%s: to a peer half within %.1f ms, the longest %.1f ms; to a block half within %.1f ms, the longest %.1f ms\n",
			name, l.P50, l.Max, later.P50, later.Max)
	case l != nil:
		fmt.Fprintf(w, "%s: half within %.2f ms, 99 of 100 within %.2f ms, the longest %.1f ms\n", name, l.P50, l.P99, l.Max)
	}
	if f := s.Frames; f != nil {
		fmt.Fprintf(w, "%s: frames of %.0f bytes came in and of %.0f went out\n", name, f.In.Median, f.Out.Median)
	}
	for _, r := range s.Remarks {
		fmt.Fprintf(w, "%s: %s\n", name, r)
	}
}

// cpuText has the process that measures first, then those that it works with.
func cpuText(s summary) string {
	if s.Beside.Processes == 0 {
		return fmt.Sprintf("%.2f", s.CPUSeconds.Median)
	}
	return fmt.Sprintf("%.2f + %.2f", s.CPUSeconds.Median, s.Beside.CPUSeconds.Median)
}

func rssText(s summary) string {
	own := known(s.RSS.Median / (1 << 20))
	if s.Beside.Processes == 0 {
		return own
	}
	return own + " / " + known(s.Beside.RSS.Median/(1<<20))
}

func wireText(s summary) string {
	if s.Wire == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", (s.Wire.In.Median+s.Wire.Out.Median)/(1<<20))
}

func overText(u unit, s summary) string {
	if s.Over.Median == 0 || u != perSecond && u != mibPerSec {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*s.Over.Median)
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
