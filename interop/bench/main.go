// Command bench measures the store beside npm hypercore 9, npm hypercore 11 and
// plain files. Each contender runs in a process of its own. README.md says how
// to read what it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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
	record  string
	profile string
}

func parse(args []string, progress io.Writer) (s settings, err error) {
	s.warmups = 1
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.IntVar(&s.rounds, "rounds", 0, "rounds that count, 0 for 5, or 1 if short; one to warm up goes before them")
	flags.StringVar(&s.only, "only", "", "works to do, with commas between them; each is a name, the beginning of one, store or replication")
	flags.StringVar(&s.dir, "dir", "", "folder on the disk to be measured (default: that for temporary files)")
	flags.BoolVar(&s.short, "short", false, "a part of the work, to see that all works and about where it stands")
	flags.BoolVar(&s.npm, "npm", true, "run the contenders on npm as well")
	flags.StringVar(&s.record, "record", "", "folder in which the results are kept as table and JSON")
	flags.StringVar(&s.profile, "profile", "", "folder for a CPU profile of each process of ours, by task and number")
	flags.BoolVar(&s.json, "json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	switch {
	case s.rounds < 0:
		return s, fmt.Errorf("%d rounds: one is the least", s.rounds)
	case s.rounds == 0 && s.short:
		s.rounds = 1
	case s.rounds == 0:
		s.rounds = 5
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

// runWorks does the works in a folder that it removes. What fails is told at the
// end, when the others are done.
func runWorks(ctx context.Context, s settings, chosen []work, out, progress io.Writer) error {
	b, err := newBench(ctx, s, progress)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	resting, err := b.programs.run(ctx, "", task{Do: "rest"})
	if err != nil {
		return err
	}
	all := outcome{Command: s.command(), Machine: thisMachine(ctx, b.node), Program: resting.RSS}
	if !s.json {
		all.printHead(out)
	}
	var failed []error
	for _, w := range chosen {
		if w.Cold && !canDropCache {
			fmt.Fprintf(progress, "%s: left out, this system can't be told to forget what it has read\n", w.Name)
			continue
		}
		if !s.npm {
			w = w.withoutPeers()
		}
		rep, err := b.run(ctx, w)
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
		all.Works = append(all.Works, rep)
		if !s.json {
			failed = append(failed, printTable(out, rep))
		}
	}
	if s.json {
		failed = append(failed, all.encode(out))
	}
	if s.record != "" {
		failed = append(failed, all.record(s.record))
	}
	return errors.Join(failed...)
}

// newBench finds what is needed and makes the folder in which the works are done.
func newBench(ctx context.Context, s settings, progress io.Writer) (b *bench, err error) {
	b = &bench{warmups: s.warmups, rounds: s.rounds, progress: progress}
	if b.self, err = self(); err != nil {
		return nil, err
	}
	if s.profile != "" {
		if b.profile, err = filepath.Abs(s.profile); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(b.profile, 0o755); err != nil {
			return nil, err
		}
	}
	if s.npm {
		if err := b.install(ctx); err != nil {
			return nil, err
		}
	}
	b.dir, err = os.MkdirTemp(s.dir, "cobox-bench")
	return b, err
}

// choose returns the works that only names, all when it names none.
func choose(all []work, only string) ([]work, error) {
	if only == "" {
		return all, nil
	}
	chosen := make(map[string]bool)
	for name := range strings.SplitSeq(only, ",") {
		found := called(all, name)
		if len(found) == 0 {
			return nil, fmt.Errorf("no work %q; there are %s", name, strings.Join(workNames(all), ", "))
		}
		for _, w := range found {
			chosen[w.Name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(w work) bool { return !chosen[w.Name] }), nil
}

// called returns the work of that name, else those of the group, else those whose
// names begin so.
func called(all []work, name string) (found []work) {
	for _, is := range []func(work) bool{
		func(w work) bool { return w.Name == name },
		func(w work) bool { return w.Group == name },
		func(w work) bool { return strings.HasPrefix(w.Name, name) },
	} {
		for _, w := range all {
			if is(w) {
				found = append(found, w)
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

func workNames(all []work) (names []string) {
	for _, w := range all {
		names = append(names, w.Name)
	}
	return names
}
