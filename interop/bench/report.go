package main

import "slices"

// report is what was found out of one work.
type report struct {
	Name       string    `json:"name"`
	Title      string    `json:"title"`
	Unit       unit      `json:"unit"`
	Note       string    `json:"note,omitempty"`
	LoadBefore float64   `json:"loadBefore"` // of the machine, the minute before
	LoadAfter  float64   `json:"loadAfter"`
	Contenders []summary `json:"contenders"`
}

// spread is the middle and the ends of what several rounds gave.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf returns the zero spread for no values.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	middle := v[len(v)/2]
	if len(v)%2 == 0 {
		middle = (middle + v[len(v)/2-1]) / 2
	}
	return spread{Median: middle, Min: v[0], Max: v[len(v)-1]}
}

// summary is what one contender did in all rounds.
type summary struct {
	Name       string            `json:"name"`
	Figure     spread            `json:"figure"`  // in the unit of the work
	Seconds    spread            `json:"seconds"` // that the measured section took
	CPUSeconds spread            `json:"cpuSeconds"`
	RSS        spread            `json:"rssBytes"`
	Resident   spread            `json:"residentBytes"`
	FDs        int               `json:"fds"` // the most in any round
	Others     spread            `json:"otherCores"`
	Load       spread            `json:"load"`              // cores
	Beside     sides             `json:"beside,omitzero"`   // the processes it worked with
	Wire       *volume           `json:"wire,omitempty"`    // on TCP connections
	Frames     *volume           `json:"frames,omitempty"`  // of the sessions
	Over       spread            `json:"over,omitzero"`     // of what came in on the wire, beside the blocks
	Latency    *latency          `json:"latency,omitempty"` // medians over the rounds, and the longest
	Later      *latency          `json:"later,omitempty"`
	Remarks    []string          `json:"remarks,omitempty"`
	Ratios     map[string]spread `json:"ratios,omitempty"` // by whom it is compared with
	Targets    []verdict         `json:"targets,omitempty"`
	Rounds     []result          `json:"rounds"`
}

// sides is what was seen of the other processes of a contender.
type sides struct {
	Processes  int    `json:"processes"`
	CPUSeconds spread `json:"cpuSeconds"` // of all together
	RSS        spread `json:"rssBytes"`   // of that which has most
	FDs        int    `json:"fds"`        // the most of one
}

// volume is traffic over several rounds.
type volume struct {
	In  spread `json:"in"`
	Out spread `json:"out"`
}

// verdict is a target and whether it was met.
type verdict struct {
	target
	Met bool `json:"met"`
}

// summarize takes the results of each contender, round by round. A ratio is that
// of two figures of one round, so that what slows a whole round down leaves it as
// it is.
func summarize(w work, runs [][]result) []summary {
	figures := make(map[string][]float64, len(runs))
	for i, c := range w.Contenders {
		for _, r := range runs[i] {
			figures[c.Name] = append(figures[c.Name], w.Unit.of(c.Task, r))
		}
	}
	all := make([]summary, len(runs))
	for i, c := range w.Contenders {
		s := summaryOf(c.Name, figures[c.Name], runs[i])
		for _, other := range c.Beside {
			if ratios := ratiosOf(figures[c.Name], figures[other]); len(ratios) > 0 {
				s.Ratios[other] = spreadOf(ratios)
			}
		}
		for _, t := range c.Targets {
			if _, ok := s.Ratios[t.Of]; len(s.Rounds) > 0 && (ok || t.Ratio == 0) {
				s.Targets = append(s.Targets, verdict{t, t.met(s)})
			}
		}
		all[i] = s
	}
	return all
}

func summaryOf(name string, figures []float64, runs []result) summary {
	s := summary{Name: name, Figure: spreadOf(figures), Ratios: map[string]spread{}, Rounds: runs}
	s.Seconds = spreadOf(each(runs, func(r result) float64 { return r.Seconds }))
	s.CPUSeconds = spreadOf(each(runs, func(r result) float64 { return r.CPUSeconds }))
	s.RSS = spreadOf(each(runs, func(r result) float64 { return float64(r.RSS) }))
	s.Resident = spreadOf(each(runs, func(r result) float64 { return float64(r.Resident) }))
	s.Others = spreadOf(each(runs, func(r result) float64 { return r.Others }))
	s.Load = spreadOf(each(runs, result.load))
	s.Over = spreadOf(each(runs, result.over))
	s.Beside = sidesIn(runs)
	s.Wire = volumeOf(runs, func(r result) *traffic { return r.Wire })
	s.Frames = volumeOf(runs, func(r result) *traffic { return r.Frames })
	s.Latency = latencyIn(runs, func(r result) *latency { return r.Latency })
	s.Later = latencyIn(runs, func(r result) *latency { return r.Later })
	for _, r := range runs {
		s.FDs = max(s.FDs, r.FDs)
		if r.Remark != "" && !slices.Contains(s.Remarks, r.Remark) {
			s.Remarks = append(s.Remarks, r.Remark)
		}
	}
	return s
}

func sidesIn(runs []result) (all sides) {
	var cpu, rss []float64
	for _, r := range runs {
		used, most := 0.0, uint64(0)
		for _, b := range r.Beside {
			used += b.CPUSeconds
			most = max(most, b.RSS)
			all.FDs = max(all.FDs, b.FDs)
		}
		all.Processes = max(all.Processes, len(r.Beside))
		cpu, rss = append(cpu, used), append(rss, float64(most))
	}
	all.CPUSeconds, all.RSS = spreadOf(cpu), spreadOf(rss)
	return all
}

// volumeOf returns nil where nothing was counted.
func volumeOf(runs []result, part func(result) *traffic) *volume {
	if len(runs) == 0 || part(runs[0]) == nil {
		return nil
	}
	return &volume{
		In:  spreadOf(each(runs, func(r result) float64 { return float64(part(r).In) })),
		Out: spreadOf(each(runs, func(r result) float64 { return float64(part(r).Out) })),
	}
}

// latencyIn returns nil where none was measured.
func latencyIn(runs []result, part func(result) *latency) *latency {
	if len(runs) == 0 || part(runs[0]) == nil {
		return nil
	}
	return &latency{
		P50: spreadOf(each(runs, func(r result) float64 { return part(r).P50 })).Median,
		P99: spreadOf(each(runs, func(r result) float64 { return part(r).P99 })).Median,
		Max: spreadOf(each(runs, func(r result) float64 { return part(r).Max })).Max,
	}
}

func each(runs []result, value func(result) float64) []float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = value(r)
	}
	return values
}

// ratiosOf divides round by round.
func ratiosOf(figures, others []float64) (ratios []float64) {
	for i := range min(len(figures), len(others)) {
		if others[i] > 0 {
			ratios = append(ratios, figures[i]/others[i])
		}
	}
	return ratios
}
