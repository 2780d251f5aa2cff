package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// outcome is all figures of one run of the command.
type outcome struct {
	Command string   `json:"command"` // that does the same again
	Machine machine  `json:"machine"`
	Program uint64   `json:"programRssBytes"` // of a process of ours that does nothing
	Works   []report `json:"works"`
}

// printHead writes what is true of all works.
func (o outcome) printHead(w io.Writer) {
	o.Machine.print(w)
	if o.Program > 0 {
		fmt.Fprintf(w, "a process of ours has %d MiB in memory before it does anything\n", o.Program>>20)
	}
}

// command returns the command with these settings, without those of where figures
// and files go.
func (s settings) command() string {
	parts := []string{"go run ./interop/bench", fmt.Sprintf("--rounds %d", s.rounds)}
	if s.short {
		parts = append(parts, "--short")
	}
	if !s.npm {
		parts = append(parts, "--npm=false")
	}
	if s.only != "" {
		parts = append(parts, "--only "+s.only)
	}
	return strings.Join(parts, " ")
}

func (o outcome) encode(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(o)
}

// record writes the figures as JSON and as tables to a folder, under the date and
// the kind of machine. What was recorded there on the same day is replaced.
func (o outcome) record(dir string) error {
	m := o.Machine
	name := fmt.Sprintf("%s-%s-%d-cores", m.Time.Format("2006-01-02"), strings.ReplaceAll(m.System, "/", "-"), m.Cores)
	var text, figures bytes.Buffer
	fmt.Fprintf(&text, "# %s, %s\n\n`%s`\n\nHow to read it: [README](../README.md). Every round is in [%[4]s.json](%[4]s.json).\n\n```\n",
		m.Time.Format("2 January 2006, 15:04 UTC"), m.System, o.Command, name)
	o.printHead(&text)
	for _, rep := range o.Works {
		if err := printTable(&text, rep); err != nil {
			return err
		}
	}
	fmt.Fprintln(&text, "```")
	if err := o.encode(&figures); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".md"), text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), figures.Bytes(), 0o644)
}
