package storage

import (
	"math"
	"math/bits"
	"sort"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// feedPlan is what a batch does to one feed in the end, worked out from the batch
// alone. It is applied in the order of its fields.
type feedPlan struct {
	key      hypercore.Key
	drop     bool            // what is stored goes
	write    bool            // the feed is stored afterwards; else the rest is empty
	truncate bool            // nodes and blocks that are stored behind keep blocks go
	keep     uint64          // see truncate
	clear    spanSet         // stored blocks that go, those of truncate among them
	nodes    []merkle.Node   // to be stored
	anchor   []merkle.Node   // to be put beside long runs
	runs     []hypercore.Run // to be stored; ascending, and they don't touch
	head     *hypercore.Head // nil leaves the head
	least    int             // bytes of a run that is for a data file
}

// structural says whether the plan changes what is stored, or removes it, so
// that it may not meet another such commit to the same feed.
func (p *feedPlan) structural() bool {
	return p.drop || p.truncate || len(p.clear) > 0 || p.long()
}

// long says whether a run of the plan is for a data file, if it isn't held.
func (p *feedPlan) long() bool {
	for i := range p.runs {
		if longRun(p.runs[i].Blocks, p.least) {
			return true
		}
	}
	return false
}

// planFeeds returns one plan for each feed of the batch, in order of their first
// appearance. The slices of b are used, not copied.
func planFeeds(b *hypercore.Batch) []feedPlan {
	plans := make([]feedPlan, 0, len(b.Feeds))
	var places map[hypercore.Key]int
	if len(b.Feeds) > 1 {
		places = make(map[hypercore.Key]int, len(b.Feeds))
	}
	for i := range b.Feeds {
		w := &b.Feeds[i]
		place, ok := places[w.Key]
		if !ok {
			place = len(plans)
			plans = append(plans, feedPlan{key: w.Key})
			if places != nil {
				places[w.Key] = place
			}
		}
		plans[place].add(w)
	}
	for i := range plans {
		plans[i].runs, plans[i].least = joinRuns(plans[i].runs), looseRunBytes
		if b.Urgent {
			plans[i].least = longRunBytes
		}
	}
	return plans
}

// add puts the next write of the batch on top of the plan.
func (p *feedPlan) add(w *hypercore.FeedWrite) {
	if w.Drop {
		*p = feedPlan{key: p.key, drop: true}
		return
	}
	p.write = true
	if w.Truncate {
		length := w.Head.Length
		if !p.truncate || length < p.keep {
			p.truncate, p.keep = true, length
		}
		p.forget(hypercore.Span{Start: length, Count: math.MaxUint64 - length})
		p.nodes = nodesWithin(p.nodes, length)
		p.anchor = nodesWithin(p.anchor, length)
	}
	for _, span := range w.Clear {
		p.forget(span)
	}
	p.nodes = join(p.nodes, w.Nodes)
	p.anchor = join(p.anchor, w.Anchor)
	p.runs = join(p.runs, w.Runs)
	if w.Head != nil {
		p.head = w.Head
	}
}

// join is append that leaves both slices as they are, and copies neither when
// one is empty.
func join[T any](a, b []T) []T {
	if len(a) == 0 {
		return b[:len(b):len(b)]
	}
	return append(a[:len(a):len(a)], b...)
}

// forget removes the blocks of span from what is stored and from the plan.
func (p *feedPlan) forget(span hypercore.Span) {
	if span.Count == 0 {
		return
	}
	p.clear = p.clear.add(span)
	var left []hypercore.Run
	for _, run := range p.runs {
		for _, part := range (spanSet{span}).without(run.Span()) {
			from := part.Start - run.Start
			left = append(left, hypercore.Run{Start: part.Start, Blocks: run.Blocks[from : from+part.Count]})
		}
	}
	p.runs = left
}

// joinRuns returns the runs in ascending order and in as few pieces as can be.
// Where runs overlap, the one that begins first counts.
func joinRuns(runs []hypercore.Run) []hypercore.Run {
	if len(runs) == 0 || len(runs) == 1 && len(runs[0].Blocks) > 0 {
		return runs
	}
	sorted := append([]hypercore.Run(nil), runs...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Start < sorted[j].Start })
	var joined []hypercore.Run
	own := false // the blocks of the last joined run are our slice
	for _, run := range sorted {
		if len(run.Blocks) == 0 {
			continue
		}
		if len(joined) == 0 || run.Start > joined[len(joined)-1].Span().End() {
			joined, own = append(joined, run), false
			continue
		}
		last := &joined[len(joined)-1]
		end := last.Span().End()
		if run.Span().End() <= end {
			continue
		}
		if !own {
			last.Blocks, own = last.Blocks[:len(last.Blocks):len(last.Blocks)], true
		}
		last.Blocks = append(last.Blocks, run.Blocks[end-run.Start:]...)
	}
	return joined
}

// nodeSpan returns the blocks below a tree node; all there can be for a node
// above the tree of MaxSeq blocks. See interop/spec/feed.md, "Tree".
func nodeSpan(index uint64) hypercore.Span {
	level := bits.TrailingZeros64(^index)
	if 1<<level > MaxSeq || level > 63 {
		return hypercore.Span{Count: math.MaxUint64}
	}
	return hypercore.Span{Start: index >> (level + 1) << level, Count: 1 << level}
}

// nodesWithin returns the nodes that belong to a tree of length blocks.
func nodesWithin(nodes []merkle.Node, length uint64) []merkle.Node {
	var left []merkle.Node
	for i := range nodes {
		if nodeSpan(nodes[i].Index).End() <= length {
			left = append(left, nodes[i])
		}
	}
	return left
}
