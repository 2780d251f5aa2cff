package main

// Groups of works: those of one process, and those of two and more.
const (
	groupStore = "store"
	groupLines = "replication"
)

// work is one thing that several contenders do.
type work struct {
	Name  string // as --only takes it
	Group string // likewise
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
	Make *task
	// Serve, if set, is what other processes do: they answer, from what Make made
	// if there is one, while Task runs in a folder of its own.
	Serve   *task
	Servers int      // how many, 0 for one; those after the first have copies
	Limit   int      // bytes a second that each of them gives out; 0: any
	Start   *task    // fills the folder that Task begins with; nil: it is empty
	Beside  []string // contenders to whose figures of the same round it is compared
	Targets []target
}

// unit is what the figure of a run is in.
type unit string

// The units. Of rates more is better, of all others less.
const (
	perSecond unit = "/s"
	mibPerSec unit = "MiB/s"
	seconds   unit = "s"
	millis    unit = "ms"      // the median of single operations
	bytesAway unit = "B a way" // of frames without blocks, that way which has more
	bytesBoth unit = "B"       // of frames without blocks, both ways
	kbitPer   unit = "kbit/s"  // on the wire, both ways
)

// of returns the figure of one run.
func (u unit) of(t task, r result) float64 {
	switch u {
	case seconds:
		return r.Seconds
	case millis:
		if r.Latency == nil {
			return 0
		}
		return r.Latency.P50
	case bytesAway, bytesBoth:
		return r.told(u)
	}
	if r.Seconds == 0 {
		return 0
	}
	switch u {
	case mibPerSec:
		return float64(r.Count) * float64(t.Size) / (1 << 20) / r.Seconds
	case kbitPer:
		if r.Wire == nil {
			return 0
		}
		return float64(r.Wire.In+r.Wire.Out) * 8 / 1000 / r.Seconds
	}
	return float64(r.Count) / r.Seconds
}

// told returns how many bytes of frames there were besides blocks.
func (r result) told(u unit) float64 {
	if r.Frames == nil {
		return 0
	}
	in, out := float64(r.Frames.In)-float64(r.Payload), float64(r.Frames.Out)
	if u == bytesAway {
		return max(in, out)
	}
	return in + out
}

// over returns how much more came in on the wire than the blocks have, as a part
// of them.
func (r result) over() float64 {
	if r.Wire == nil || r.Payload == 0 {
		return 0
	}
	return float64(r.Wire.In)/float64(r.Payload) - 1
}

// load returns how many cores were busy with the measured section.
func (r result) load() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return r.CPUSeconds / r.Seconds
}
