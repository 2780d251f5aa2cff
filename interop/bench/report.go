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
	Figure     spread            `json:"figure"` // in the unit of the work
	CPUSeconds spread            `json:"cpuSeconds"`
	RSS        spread            `json:"rssBytes"`
	FDs        int               `json:"fds"` // the most in any round
	Others     spread            `json:"otherCores"`
	Latency    *latency          `json:"latency,omitempty"` // medians over the rounds, and the longest
	Ratios     map[string]spread `json:"ratios,omitempty"`  // by whom it is compared with
	Targets    []verdict         `json:"targets,omitempty"`
	Rounds     []result          `json:"rounds"`
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
			if _, ok := s.Ratios[t.Of]; ok || t.Ratio == 0 {
				s.Targets = append(s.Targets, verdict{t, t.met(s)})
			}
		}
		all[i] = s
	}
	return all
}

func summaryOf(name string, figures []float64, runs []result) summary {
	s := summary{Name: name, Figure: spreadOf(figures), Ratios: map[string]spread{}, Rounds: runs}
	s.CPUSeconds = spreadOf(each(runs, func(r result) float64 { return r.CPUSeconds }))
	s.RSS = spreadOf(each(runs, func(r result) float64 { return float64(r.RSS) }))
	s.Others = spreadOf(each(runs, func(r result) float64 { return r.Others }))
	for _, r := range runs {
		s.FDs = max(s.FDs, r.FDs)
	}
	if len(runs) > 0 && runs[0].Latency != nil {
		s.Latency = &latency{
			P50: spreadOf(each(runs, func(r result) float64 { return r.Latency.P50 })).Median,
			P99: spreadOf(each(runs, func(r result) float64 { return r.Latency.P99 })).Median,
			Max: spreadOf(each(runs, func(r result) float64 { return r.Latency.Max })).Max,
		}
	}
	return s
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
