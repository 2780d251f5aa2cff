package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine is where figures come from. Those of two machines are not to be
// compared.
type machine struct {
	Time      time.Time `json:"time"`             // when it began
	Commit    string    `json:"commit,omitempty"` // of the code, with + when it was changed since
	System    string    `json:"system"`
	Processor string    `json:"processor,omitempty"`
	Kernel    string    `json:"kernel,omitempty"`
	Cores     int       `json:"cores"`
	Memory    uint64    `json:"memoryBytes,omitempty"`
	Go        string    `json:"go"`
	Node      string    `json:"node,omitempty"`
}

// thisMachine describes this machine; node may be empty.
func thisMachine(ctx context.Context, node string) machine {
	m := machine{
		Time: time.Now().UTC().Truncate(time.Second), Commit: commit(ctx), Memory: memorySize(), Kernel: kernel(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Processor: processor(),
		Cores: runtime.NumCPU(), Go: runtime.Version(),
	}
	if node != "" {
		m.Node, _ = nodeVersion(ctx, node)
	}
	return m
}

// commit returns what is checked out where the command runs, or nothing.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+", "--exclude=*").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (m machine) print(w io.Writer) {
	fmt.Fprintf(w, "%s %s, %d cores %s, %d GiB, %s", m.System, m.Kernel, m.Cores, m.Processor, m.Memory>>30, m.Go)
	if m.Node != "" {
		fmt.Fprintf(w, ", node %s", m.Node)
	}
	if m.Commit != "" {
		fmt.Fprintf(w, ", commit %s", m.Commit)
	}
	fmt.Fprintf(w, ", %s\n", m.Time.Format(time.RFC3339))
}
