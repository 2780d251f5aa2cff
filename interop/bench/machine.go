package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
)

// machine is where figures come from. Those of two machines are not to be
// compared.
type machine struct {
	System    string `json:"system"`
	Processor string `json:"processor,omitempty"`
	Cores     int    `json:"cores"`
	Go        string `json:"go"`
	Node      string `json:"node,omitempty"`
}

// thisMachine describes this machine; node may be empty.
func thisMachine(ctx context.Context, node string) machine {
	m := machine{
		System: runtime.GOOS + "/" + runtime.GOARCH, Processor: processor(),
		Cores: runtime.NumCPU(), Go: runtime.Version(),
	}
	if node != "" {
		m.Node, _ = nodeVersion(ctx, node)
	}
	return m
}

func (m machine) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d cores %s, %s", m.System, m.Cores, m.Processor, m.Go)
	if m.Node != "" {
		fmt.Fprintf(w, ", node %s", m.Node)
	}
	fmt.Fprintln(w)
}
