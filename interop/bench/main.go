// Command bench measures the store beside npm hypercore 9, npm hypercore 11 and
// plain files. Each contender runs in a process of its own. README.md says how
// to read what it prints.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	var err error
	if len(os.Args) == 3 && os.Args[1] == childArg {
		err = runChild(ctx, os.Args[2])
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the command was asked for.
type settings struct {
	warmups int
	rounds  int
	only    string
	dir     string
	short   bool
	npm     bool
	json    bool
}

func parse(args []string, progress io.Writer) (s settings, err error) {
	s.warmups = 1
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.IntVar(&s.rounds, "rounds", 5, "rounds that count; one to warm up goes before them")
	flags.StringVar(&s.only, "only", "", "works to do, with commas between them; each is a name or the beginning of one")
	flags.StringVar(&s.dir, "dir", "", "folder on the disk to be measured (default: that for temporary files)")
	flags.BoolVar(&s.short, "short", false, "a tenth of the work")
	flags.BoolVar(&s.npm, "npm", true, "run the contenders on npm as well")
	flags.BoolVar(&s.json, "json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if s.rounds < 1 {
		return s, fmt.Errorf("%d rounds: one is the least", s.rounds)
	}
	return s, nil
}

// run does what the arguments say. Figures go to out, what is going on to
// progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	size := full
	if s.short {
		size = short
	}
	chosen, err := choose(works(size), s.only)
	if err != nil {
		return err
	}
	return runWorks(ctx, s, chosen, out, progress)
}

// runWorks does the works in a folder that it removes.
func runWorks(ctx context.Context, s settings, chosen []work, out, progress io.Writer) (err error) {
	b := &bench{warmups: s.warmups, rounds: s.rounds, progress: progress}
	if b.self, err = self(); err != nil {
		return err
	}
	if s.npm {
		if err := b.install(ctx); err != nil {
			return err
		}
	}
	if b.dir, err = os.MkdirTemp(s.dir, "cobox-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	all := outcome{Machine: thisMachine(ctx, b.node)}
	if !s.json {
		all.Machine.print(out)
	}
	for _, w := range chosen {
		if w.Cold && !canDropCache {
			fmt.Fprintf(progress, "%s: left out, this system can't be told to forget what it has read\n", w.Name)
			continue
		}
		if !s.npm {
			w = w.withoutPeers()
		}
		rep, err := b.run(ctx, w)
		if err != nil {
			return err
		}
		all.Works = append(all.Works, rep)
		if s.json {
			continue
		}
		if err := printTable(out, rep); err != nil {
			return err
		}
	}
	if !s.json {
		return nil
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}

// outcome is all figures of one run of the command.
type outcome struct {
	Machine machine  `json:"machine"`
	Works   []report `json:"works"`
}

// choose returns the works that only names, all when it names none.
func choose(all []work, only string) ([]work, error) {
	if only == "" {
		return all, nil
	}
	var chosen []work
	names := strings.Split(only, ",")
	for _, w := range all {
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(w.Name, n) }) {
			chosen = append(chosen, w)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(w work) bool { return strings.HasPrefix(w.Name, n) }) {
			return nil, fmt.Errorf("no work %q; there are %s", n, strings.Join(workNames(all), ", "))
		}
	}
	return chosen, nil
}

func workNames(all []work) (names []string) {
	for _, w := range all {
		names = append(names, w.Name)
	}
	return names
}
