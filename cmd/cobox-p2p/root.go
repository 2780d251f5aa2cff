package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUse    = 2
)

// streams are a process's standard streams.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cli is one run of the command line.
type cli struct {
	streams
	dir     string
	json    bool
	started bool // a command's own code runs: what fails before is wrong use
	told    bool // the answer was printed, an error too
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, s streams) int {
	c := &cli{streams: s}
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := c.exitCode(err)
	if c.json && !c.told {
		c.printJSON(failure{apiError(err, code)})
	}
	fmt.Fprintf(c.err, "cobox-p2p: %s\n", node.Message(err))
	if !c.started {
		fmt.Fprintln(c.err, `Say "cobox-p2p help" for the commands and their flags.`)
	}
	return code
}

// failure is what --json prints of an error, alone or beside what is known.
type failure struct {
	Error *api.Error `json:"error,omitempty"`
}

// failure returns that of err, which may be nil.
func (c *cli) failure(err error) failure {
	if err == nil {
		return failure{}
	}
	return failure{apiError(err, c.exitCode(err))}
}

func (c *cli) exitCode(err error) int {
	_, use := errors.AsType[*node.UseError](err)
	_, choice := errors.AsType[*node.ChoiceError](err)
	a, answered := errors.AsType[*api.Error](err)
	if !c.started || use || choice || answered && (a.Code == api.CodeUse || a.Code == api.CodeChoice) {
		return exitUse
	}
	return exitFailed
}

// apiError returns err as the daemon would tell it.
func apiError(err error, code int) *api.Error {
	if a, ok := errors.AsType[*api.Error](err); ok {
		return a
	}
	e := &api.Error{Code: api.CodeFailed, Message: node.Message(err)}
	if code == exitUse {
		e.Code = api.CodeUse
	}
	return e
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "cobox-p2p",
		Short:         "Encrypted spaces of append-only feeds, shared from peer to peer",
		Long:          "cobox-p2p runs a node of CoBox spaces (cobox-p2p run) and talks to it.\nSee docs/cli.md for the data folder, the exit codes and the local API.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetVersionTemplate("cobox-p2p {{.Version}}\n")
	root.PersistentFlags().StringVar(&c.dir, "dir", "", "data `folder` of the node (default $COBOX_DIR, else cobox among your application data)")
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print one JSON object on one line")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		dir, err := node.DefaultDir()
		if c.dir = cmp.Or(c.dir, dir); c.dir == "" {
			return fmt.Errorf("say where the data folder is, with --dir or COBOX_DIR: %w", err)
		}
		c.started = true
		return nil
	}
	root.AddCommand(
		c.initCommand(), c.runCommand(), c.spaceCommand(), c.appendCommand(), c.readCommand(), c.bundleCommand(),
		c.connectCommand(), c.peersCommand(), c.statusCommand(), c.syncCommand(), c.limitCommand(), c.blockCommand(), c.verifyCommand(), c.legacyCommand(), c.forkCommand(), c.demoCommand(),
	)
	return root
}

// client calls f with a client of the daemon.
func (c *cli) client(f func(*api.Client) error) error {
	client := api.NewClient(c.dir)
	defer client.Close()
	return f(client)
}

// print writes the answer: v with --json, else what text writes.
func (c *cli) print(v any, text func(w io.Writer)) error {
	c.told = true
	if c.json {
		return c.printJSON(v)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

func (c *cli) printJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = c.out.Write(append(line, '\n'))
	return err
}

// warn tells the person something beside the answer.
func (c *cli) warn(format string, args ...any) {
	fmt.Fprintf(c.err, "cobox-p2p: "+format+"\n", args...)
}
