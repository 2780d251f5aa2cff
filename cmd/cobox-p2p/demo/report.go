package demo

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Report is what happened.
type Report struct {
	OK       bool      `json:"ok"`
	Error    *Failure  `json:"error,omitempty"` // why it isn't
	Path     string    `json:"path"`            // the input
	Files    int       `json:"files"`
	Folders  int       `json:"folders"`
	Links    int       `json:"links"`
	Bytes    int64     `json:"bytes"`    // of the files
	Stored   string    `json:"stored"`   // digest of what was stored
	Restored string    `json:"restored"` // digest of what was restored
	Skipped  []Skipped `json:"skipped"`
	Steps    []Step    `json:"steps"`
	Nodes    []Node    `json:"nodes"`
	// Providers are the peers that the DHT named for the space to a newcomer who
	// knew only the bootstrap node, after the writer was gone.
	Providers []string `json:"providers"`
	// FoundBy is how the reader came to the seeder: dht when it was named by the
	// DHT, shared when it met it as a neighbour in the DHT before.
	FoundBy string `json:"foundBy"`
	// Searched is how many pieces of the input were looked for in the seeder's
	// folder, Plaintext what of them was there.
	Searched  int      `json:"searched"`
	Plaintext []string `json:"plaintext"`
	Seconds   float64  `json:"seconds"`
	Kept      string   `json:"kept,omitempty"` // the folder, with --keep
}

// Failure has the form of every command's error.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Step is one part of the demo.
type Step struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes,omitempty"`
	Detail  string  `json:"detail,omitempty"`
}

// Node is one of the daemons.
type Node struct {
	Role   string `json:"role"`
	PeerID string `json:"peerId"`
	Fate   string `json:"fate"` // killed or ended
}

// Write writes the report for a person.
func (r *Report) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "STEP\tSECONDS\tMIB/S\tWHAT HAPPENED\n")
	for _, s := range r.Steps {
		rate := ""
		if s.Bytes > 0 && s.Seconds > 0 {
			rate = fmt.Sprintf("%.1f", float64(s.Bytes)/s.Seconds/(1<<20))
		}
		fmt.Fprintf(w, "%s\t%.1f\t%s\t%s\n", s.What, s.Seconds, rate, s.Detail)
	}
	for _, n := range r.Nodes {
		fmt.Fprintf(w, "%s\t\t\t%s, %s\n", n.Role, n.PeerID, n.Fate)
	}
	fmt.Fprintf(w, "stored\t\t\t%s\nrestored\t\t\t%s\n", r.Stored, r.Restored)
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(out, "note: %s %s\n", s.Path, s.Reason)
	}
	if r.Kept != "" {
		fmt.Fprintf(out, "the folders are in %s\n", r.Kept)
	}
	result := "ok: the folder came back byte for byte from a seeder that cannot read it"
	if !r.OK {
		result = "FAILED: " + r.Error.Message
	}
	_, err := fmt.Fprintf(out, "%s (%.1f s)\n", result, r.Seconds)
	return err
}

// step runs one part and notes it.
func (r *Report) step(p *progress, what string, total int64, f func() (bytes int64, detail string, err error)) error {
	began := time.Now()
	p.begin(what, total)
	bytes, detail, err := f()
	s := Step{what, time.Since(began).Seconds(), bytes, detail}
	if err != nil {
		s.Detail = "failed"
	}
	p.end(s)
	r.Steps = append(r.Steps, s)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
