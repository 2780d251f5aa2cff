package main

import "fmt"

// lineScale is how much is done between processes.
type lineScale struct {
	large   int // blocks of 64 KiB
	kilo    int // blocks of 1 KiB
	small   int // blocks of 100 B
	part    int // of the small blocks, the packages on npm move one in so many
	feeds   []feedScale
	meets   []meetScale
	seeded  int // blocks of 64 KiB from several seeders
	live    int // blocks appended one by one
	joins   int
	nodes   int // of the DHT
	idle    int // spaces
	idleMs  int
	quietMs int // before the idle time
}

// feedScale is how many feeds of one block are fetched.
type feedScale struct {
	feeds   int
	npm     bool // the packages on npm as well
	targets []target
}

// meetScale is how many feeds two nodes hold, and of how many one has more.
type meetScale struct {
	feeds, changed int
	targets        []target
}

var fullLines = lineScale{
	large: 8192, kilo: 262_144, small: 200_000, part: 10,
	feeds: []feedScale{
		{1000, true, []target{{Ratio: 10, Of: multifeed6}}},
		{10_000, false, []target{{Seconds: 3}, {RSS: 120 << 20}}},
		{100_000, false, nil},
	},
	meets: []meetScale{
		{10_000, 0, []target{{Most: 128}}},
		{10_000, 10, []target{{Most: 6 << 10}}},
		{100_000, 100, []target{{Most: 40 << 10}}},
	},
	seeded: 4096, live: 2000, joins: 10, nodes: 20,
	idle: 1000, idleMs: 60_000, quietMs: 15_000,
}

var shortLines = lineScale{
	large: 1024, kilo: 32_768, small: 50_000, part: 20,
	feeds:  []feedScale{{200, true, nil}, {2000, false, nil}},
	meets:  []meetScale{{2000, 0, nil}, {2000, 10, nil}},
	seeded: 640, live: 300, joins: 3, nodes: 20,
	idle: 100, idleMs: 3000, quietMs: 1000,
}

// Names of contenders between processes.
const (
	multifeed6 = "multifeed 6"
	bareStream = "bare libp2p stream"
	oursLine   = "ours"
)

const linesNotDurable = "The npm packages sync nothing; ours and the plain file are durable when the clock stops."

// lineWorks returns those of two and more processes.
func lineWorks(s lineScale) []work {
	all := []work{
		moveLarge(s),
		moveSmall("move-1k", s, s.kilo, 1<<10, []target{{Rate: 100_000}}),
		moveSmall("move-100", s, s.small, 100, []target{{Rate: 300_000}, {Ratio: 60, Of: multifeed6}, {Over: 0.035}}),
	}
	for _, f := range s.feeds {
		all = append(all, moveFeeds(f))
	}
	for _, m := range s.meets {
		all = append(all, meet(m))
	}
	all = append(all, seeders(s), live(s), joins(s), idle(s))
	for i := range all {
		all[i].Group = groupLines
	}
	return all
}

// mover returns a contender that fetches what a task makes.
func mover(name, peer string, maker task) contender {
	serve, fetch := maker, maker
	serve.Do, fetch.Do = "serve", "fetch"
	return contender{Name: name, Peer: peer, Task: fetch, Serve: &serve, Make: &maker}
}

func longFeed(blocks, size int) task {
	return task{Do: "make-space", Feeds: 1, Blocks: blocks, Size: size, Pool: poolCount(blocks, size)}
}

func moveLarge(s lineScale) work {
	maker := longFeed(s.large, largeBlock)
	serve, fetch, file := maker, maker, maker
	serve.Do, fetch.Do, file.Do = "serve-bare", "fetch-bare", "plain-append"
	behind := file
	behind.Behind = true
	ours := mover(oursLine, "", maker)
	ours.Beside = []string{bareStream, plainFile, plainBehind, multifeed6, npm11}
	ours.Targets = []target{{Ratio: 0.5, Of: bareStream}, {Ratio: 3, Of: multifeed6}, {RSS: 80 << 20}}
	return work{
		Name: "move-64k", Unit: mibPerSec, Note: linesNotDurable,
		Title: fmt.Sprintf("one feed of %d MiB in blocks of 64 KiB, from disk to disk", s.large*largeBlock>>20),
		Contenders: []contender{
			{Name: plainFile, Task: file},
			{Name: plainBehind, Task: behind},
			{Name: bareStream, Task: fetch, Serve: &serve},
			ours,
			mover(multifeed6, "hypercore9", maker),
			mover(npm11, "hypercore11", maker),
		},
	}
}

func moveSmall(name string, s lineScale, blocks, size int, targets []target) work {
	less := longFeed(max(1, blocks/s.part), size)
	ours := mover(oursLine, "", longFeed(blocks, size))
	ours.Beside, ours.Targets = []string{multifeed6, npm11}, targets
	return work{
		Name: name, Unit: perSecond,
		Note:  fmt.Sprintf("%s They move %d blocks.", linesNotDurable, less.Blocks),
		Title: fmt.Sprintf("one feed of %d blocks of %d B, from disk to disk", blocks, size),
		Contenders: []contender{
			ours, mover(multifeed6, "hypercore9", less), mover(npm11, "hypercore11", less),
		},
	}
}

func moveFeeds(f feedScale) work {
	maker := task{Do: "make-space", Feeds: f.feeds, Blocks: 1, Size: setBlock, Pool: 1}
	ours := mover(oursLine, "", maker)
	ours.Targets = f.targets
	w := work{
		Name: fmt.Sprintf("feeds-%d", f.feeds), Unit: perSecond,
		Title:      fmt.Sprintf("%d feeds of one block of %d B, from disk to disk", f.feeds, setBlock),
		Contenders: []contender{ours},
	}
	if f.npm {
		w.Note = linesNotDurable + " hypercore 11 is told all keys."
		w.Contenders[0].Beside = []string{multifeed6, npm11}
		w.Contenders = append(w.Contenders, mover(multifeed6, "hypercore9", maker), mover(npm11, "hypercore11", maker))
	}
	return w
}

func meet(m meetScale) work {
	same := task{Do: "make-space", Feeds: m.feeds, Blocks: 1, Size: setBlock, Pool: 1}
	grown := same
	grown.Changed = m.changed
	again, serve := grown, grown
	again.Do, again.Size, serve.Do = "meet", 0, "serve"
	w := work{
		Name: fmt.Sprintf("meet-%d-%d", m.feeds, m.changed), Unit: bytesBoth,
		Title: fmt.Sprintf("two nodes that hold the same %d feeds meet; %d have grown", m.feeds, m.changed),
		Contenders: []contender{{Name: oursLine, Task: again, Serve: &serve, Make: &grown, Start: &same,
			Targets: m.targets}},
	}
	if m.changed == 0 {
		w.Unit = bytesAway
	}
	return w
}

const (
	seederCount = 4
	seederRate  = 10 << 20 // bytes a second
)

func seeders(s lineScale) work {
	c := mover(oursLine, "", longFeed(s.seeded, largeBlock))
	c.Servers, c.Limit = seederCount, seederRate
	c.Targets = []target{{Rate: 36}}
	return work{
		Name: "seeders", Unit: mibPerSec,
		Title: fmt.Sprintf("one feed of %d MiB from %d seeders that give out %d MiB a second each",
			s.seeded*largeBlock>>20, seederCount, seederRate>>20),
		Contenders: []contender{c},
	}
}

func live(s lineScale) work {
	fetch := task{Do: "fetch-live", Blocks: s.live, Size: 100, EveryMs: 5, SettleMs: 500, Skip: min(20, s.live/2)}
	serve := fetch
	serve.Do = "serve-live"
	ours := contender{Name: oursLine, Task: fetch, Serve: &serve, Targets: []target{{Most: 2}, {P99: 6}}}
	w := work{
		Name: "live", Unit: millis, Note: linesNotDurable,
		Title:      "from the beginning of an append at one node until another has read the block",
		Contenders: []contender{ours},
	}
	for _, npm := range [][2]string{{multifeed6, "hypercore9"}, {npm11, "hypercore11"}} {
		w.Contenders[0].Beside = append(w.Contenders[0].Beside, npm[0])
		w.Contenders = append(w.Contenders, contender{Name: npm[0], Peer: npm[1], Task: fetch, Serve: &serve})
	}
	return w
}

func joins(s lineScale) work {
	join := task{Do: "join", Spaces: s.joins, Size: 100, Nodes: s.nodes}
	serve := join
	serve.Do = "serve-dht"
	return work{
		Name: "join", Unit: millis,
		Title: fmt.Sprintf("from joining a space to its first peer, over a private DHT of %d nodes", s.nodes),
		Contenders: []contender{
			{Name: oursLine, Task: join, Serve: &serve, Targets: []target{{Most: 100}, {Later: 200}}},
		},
	}
}

func idle(s lineScale) work {
	rest := task{Do: "idle", Spaces: s.idle, WindowMs: s.idleMs, SettleMs: s.quietMs}
	serve := task{Do: "serve-spaces", Spaces: s.idle, Size: 100}
	return work{
		Name: fmt.Sprintf("idle-%d", s.idle), Unit: kbitPer,
		Title: fmt.Sprintf("%d joined spaces, %d s idle, with one peer that has joined them too", s.idle, s.idleMs/1000),
		Note:  "CPU and wire are those of the idle time; of the other process the CPU is that of the whole run.",
		Contenders: []contender{
			{Name: oursLine, Task: rest, Serve: &serve, Targets: []target{{Most: 4}, {Load: 0.01}, {Resident: 100 << 20}}},
		},
	}
}
