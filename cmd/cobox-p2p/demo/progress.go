package demo

import (
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress tells a person how far a step is: a bar on a terminal, else a line
// when the step is done.
type progress struct {
	out io.Writer
	tty bool
	bar *progressbar.ProgressBar // nil when there is none
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, tty: ok && term.IsTerminal(int(f.Fd()))}
}

// begin starts a step of that many bytes, 0 for one that isn't counted.
func (p *progress) begin(what string, total int64) {
	if !p.tty {
		return
	}
	if total == 0 {
		total = -1 // a bar that only moves
	}
	p.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(total > 0), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
	)
	p.bar.RenderBlank()
}

// add counts bytes of the step.
func (p *progress) add(n int) {
	if p.bar != nil {
		p.bar.Add(n)
	}
}

func (p *progress) end(s Step) {
	if p.bar != nil {
		p.bar.Finish()
		p.bar = nil
	}
	fmt.Fprintf(p.out, "%s: %s (%.1f s)\n", s.What, s.Detail, s.Seconds)
}
