package main

import "fmt"

// scale is how much of each work is done.
type scale struct {
	small  int // blocks of 100 B
	large  int // blocks of 64 KiB
	each   int // appends one by one
	cold   int // reads of 64 KiB from the disk
	cached int // reads of 64 KiB from memory
	sets   []setSize
	lines  lineScale
}

// setSize is a count of feeds and what opening them may take.
type setSize struct {
	feeds   int
	targets []target
}

const largeBlock = 64 << 10

// full is the scale that the targets are for.
var full = scale{
	small: 1_000_000, large: 8192, each: 100_000, cold: 2048, cached: 32_768,
	sets: []setSize{
		{100_000, []target{{Seconds: 0.5}, {RSS: 80 << 20}, {FDs: 64}}},
		{1_000_000, []target{{Seconds: 2}, {RSS: 200 << 20}, {FDs: 128}}},
	},
	lines: fullLines,
}

// short is a part of it, to see that all works and about where it stands.
var short = scale{
	small: 100_000, large: 1024, each: 10_000, cold: 512, cached: 8192,
	sets:  []setSize{{feeds: 10_000}, {feeds: 50_000}},
	lines: shortLines,
}

// Names of contenders that others are compared with.
const (
	plainFile   = "plain file"
	plainBehind = "plain file, write-behind"
	plainOne    = "plain file, one buffer"
	plainFresh  = "plain file, a new buffer each"
	cryptoAlone = "seal and hash alone"
	npm9        = "hypercore 9"
	npm11       = "hypercore 11"
)

const npmNotDurable = "The npm packages sync nothing, so what they append is durable some time later."

// works returns all works.
func works(s scale) []work {
	all := []work{
		appendSmall(s), appendLarge(s), appendSealed(s),
		appendDurable(s, 1, 35_000), appendDurable(s, 64, 12_000),
		reads(s, true), reads(s, false),
	}
	for _, set := range s.sets {
		all = append(all, openFeedSet(set))
	}
	for i := range all {
		all[i].Group = groupStore
	}
	return append(all, lineWorks(s.lines)...)
}

func appendSmall(s scale) work {
	t := task{Do: "append", Blocks: s.small, Size: 100, Pool: poolCount(s.small, 100), Batch: 1000}
	stream := t
	stream.Batch = 0
	return work{
		Name: "small", Unit: perSecond, Note: npmNotDurable,
		Title: fmt.Sprintf("append %d blocks of 100 B", s.small),
		Contenders: []contender{
			{Name: npm9 + ", batches of 1000", Peer: "hypercore9", Task: t},
			{Name: npm11 + ", batches of 1000", Peer: "hypercore11", Task: t},
			{Name: "ours, one stream, durable at the end", Task: stream,
				Beside:  []string{npm9 + ", batches of 1000", npm11 + ", batches of 1000"},
				Targets: []target{{Ratio: 3, Of: npm9 + ", batches of 1000"}}},
			{Name: "ours, batches of 1000, each durable", Task: t,
				Beside: []string{npm9 + ", batches of 1000"}},
		},
	}
}

// largeTasks returns what is appended in blocks of 64 KiB: to a file, as one
// stream, and in batches of 4 MiB.
func largeTasks(s scale) (plain, stream, batches task) {
	stream = task{Do: "append", Blocks: s.large, Size: largeBlock, Pool: poolCount(s.large, largeBlock)}
	plain, batches = stream, stream
	plain.Do = "plain-append"
	batches.Batch = 64
	return plain, stream, batches
}

func appendLarge(s scale) work {
	plain, stream, batches := largeTasks(s)
	behind, often, npm := plain, plain, stream
	behind.Behind, often.Sync, npm.Batch = true, batches.Batch, 1
	both := []string{plainFile, plainBehind}
	return work{
		Name: "large", Unit: mibPerSec, Note: npmNotDurable,
		Title: fmt.Sprintf("append %d MiB in blocks of 64 KiB", s.large*largeBlock>>20),
		Contenders: []contender{
			{Name: plainFile, Task: plain},
			{Name: plainBehind, Task: behind},
			{Name: "plain file, sync each 4 MiB", Task: often},
			{Name: "ours, one stream, durable at the end", Task: stream, Beside: both,
				Targets: []target{{Ratio: 0.8, Of: plainFile}}},
			{Name: "ours, batches of 4 MiB, each durable", Task: batches, Beside: both,
				Targets: []target{{Ratio: 0.4, Of: plainFile}}},
			{Name: npm9 + ", one by one", Peer: "hypercore9", Task: npm},
			{Name: npm11 + ", one by one", Peer: "hypercore11", Task: npm},
		},
	}
}

func appendSealed(s scale) work {
	_, stream, batches := largeTasks(s)
	alone := stream
	alone.Do, stream.Seal, batches.Seal = "seal-hash", true, true
	return work{
		Name: "sealed", Unit: mibPerSec,
		Title: fmt.Sprintf("append %d MiB in blocks of 64 KiB, encrypted", s.large*largeBlock>>20),
		Contenders: []contender{
			{Name: cryptoAlone, Task: alone},
			{Name: "ours, one stream, durable at the end", Task: stream, Beside: []string{cryptoAlone},
				Targets: []target{{Ratio: 0.8, Of: cryptoAlone}}},
			{Name: "ours, batches of 4 MiB, each durable", Task: batches, Beside: []string{cryptoAlone}},
		},
	}
}

// eachGoroutines is how many wait at the same time.
const eachGoroutines = 64

func appendDurable(s scale, feeds int, rate float64) work {
	plain := task{Do: "plain-append", Blocks: max(1, s.each/50), Size: 100, Pool: poolCount(s.each, 100), Sync: 1}
	ours := task{Do: "append-each", Blocks: s.each, Size: 100, Pool: plain.Pool, Goroutines: eachGoroutines, Feeds: feeds}
	to := "one feed"
	if feeds > 1 {
		to = fmt.Sprintf("%d feeds", feeds)
	}
	return work{
		Name: fmt.Sprintf("durable-%d", feeds), Unit: perSecond,
		Title: fmt.Sprintf("append %d blocks of 100 B one by one from %d goroutines to %s, each durable",
			s.each, eachGoroutines, to),
		Contenders: []contender{
			{Name: "plain file, one goroutine, sync each", Task: plain},
			{Name: "ours", Task: ours, Targets: []target{{Rate: rate}}},
		},
	}
}

func reads(s scale, cold bool) work {
	plain, stream, batches := largeTasks(s)
	npm := batches
	read := task{Do: "read", Blocks: s.large, Size: largeBlock, Reads: s.cached, Warm: true}
	w := work{Name: "read-cached", Title: "random reads of 64 KiB, cached", Unit: mibPerSec}
	if cold {
		read.Reads, read.Warm = min(s.cold, s.large), false
		w = work{Name: "read-cold", Title: "random reads of 64 KiB from the disk", Unit: mibPerSec, Cold: true}
	}
	one := read
	one.Do = "plain-read"
	fresh := one
	fresh.Fresh = true
	// What the store returns belongs to the caller, so that a file that is read
	// into new buffers is its measure; the other is there to see what those cost.
	w.Contenders = []contender{
		{Name: plainOne, Task: one, Make: &plain},
		{Name: plainFresh, Task: fresh, Make: &plain},
		{Name: "ours", Task: read, Make: &stream, Beside: []string{plainOne, plainFresh},
			Targets: []target{{Ratio: 0.85, Of: plainFresh}}},
		{Name: npm9, Peer: "hypercore9", Task: read, Make: &npm},
		{Name: npm11, Peer: "hypercore11", Task: read, Make: &npm},
	}
	return w
}

func openFeedSet(s setSize) work {
	maker := task{Do: "make-set", Feeds: s.feeds}
	open, list := maker, maker
	open.Do, list.Do = "open-set", "list-set"
	return work{
		Name: fmt.Sprintf("open-%d", s.feeds), Unit: seconds,
		Title: fmt.Sprintf("open a store and a space of %d feeds", s.feeds),
		Contenders: []contender{
			{Name: "ours", Task: open, Make: &maker, Targets: s.targets},
			{Name: "ours, and read every head", Task: list, Make: &maker},
		},
	}
}
