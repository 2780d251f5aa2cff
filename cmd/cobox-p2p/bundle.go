package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (c *cli) bundleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Carry a space in a file to where no network goes",
		Long: "A bundle is a file with the feeds of a space, sealed for who knows the address: a seeder can carry it, who finds it learns nothing of the space.\n" +
			"FILE is - for standard input or output; a file that is there already is never written over.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &node.UseError{Message: "bundle: say what to do, one of write, need and read"}
		},
	}
	cmd.AddCommand(c.bundleWriteCommand(), c.bundleNeedCommand(), c.bundleReadCommand())
	return cmd
}

func (c *cli) bundleWriteCommand() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "write SPACE FILE [--since NEEDFILE]",
		Short: "Write what is stored here of a space into a file",
		Args:  takes(2, "SPACE", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				need, err := c.openFile(since)
				if err != nil {
					return err
				}
				defer need.Close()
				var b node.Bundled
				err = c.writeFile(args[1], func(w io.Writer) (err error) {
					b, err = client.WriteBundle(cmd.Context(), args[0], need.reader(), w)
					return err
				})
				return c.printBundled(b, "written", args[1] == "-", err)
			})
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "leave out what the writer of this `file` holds, which bundle need wrote there")
	return cmd
}

func (c *cli) bundleNeedCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "need SPACE FILE",
		Short: "Write what this node holds of a space, for bundle write --since elsewhere",
		Args:  takes(2, "SPACE", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				var n node.Needed
				err := c.writeFile(args[1], func(w io.Writer) (err error) {
					n, err = client.WriteNeed(cmd.Context(), args[0], w)
					return err
				})
				if err != nil {
					return interrupted(err, "the need is not whole")
				}
				return c.beside(args[1] == "-").print(n, func(w io.Writer) {
					fmt.Fprintf(w, "space %s: the need tells of %s\n", n.Space, node.Count(n.Feeds, "feed", "feeds"))
				})
			})
		},
	}
}

func (c *cli) bundleReadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "read SPACE FILE",
		Short: "Take a bundle into a space",
		Long: "Verifies the feeds and blocks of a bundle and stores those that are new here. When it ends they are durable. Bundles may be read in any order, and again.\n" +
			"What is bad is named, the rest goes in; the exit code is 1 then.",
		Args: takes(2, "SPACE", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				f, err := c.openFile(args[1])
				if err != nil {
					return err
				}
				defer f.Close()
				b, err := client.ReadBundle(cmd.Context(), args[0], f.reader())
				return c.printBundled(b, "stored", false, err)
			})
		},
	}
}

// printBundled prints what went through, to standard error when the bundle itself
// is on standard output. Bad blocks are an error.
func (c *cli) printBundled(b node.Bundled, done string, beside bool, err error) error {
	if err != nil {
		return interrupted(err, "the bundle is not whole; what of it was read stays")
	}
	if b.Bad > 0 {
		err = fmt.Errorf("space %s: %s of the bundle are bad or missing", b.Space, node.Count(b.Bad, "block", "blocks"))
	}
	answer := struct {
		node.Bundled
		failure
	}{b, c.failure(err)}
	out := c.beside(beside)
	err = errors.Join(out.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "space %s: %s of %s %s, %s\n", b.Space, node.Count(b.Blocks, "block", "blocks"), node.Count(b.Feeds, "feed", "feeds"), done, sizeText(b.Bytes))
		for _, n := range []struct {
			count uint64
			what  string
		}{{b.Held, "blocks were here already"}, {uint64(b.Refused), "feeds refused"}, {b.Left, "blocks can't be taken in here"}, {b.Bad, "blocks BAD"}} {
			if n.count > 0 {
				fmt.Fprintf(w, "%d %s\n", n.count, n.what)
			}
		}
		for _, f := range b.Faults {
			fmt.Fprintln(w, f)
		}
	}), err)
	c.told = true
	return err
}

// beside returns the cli that answers on standard error, when standard output has
// something else.
func (c *cli) beside(other bool) *cli {
	if !other {
		return c
	}
	c.told = true
	s := *c
	s.out = c.err
	return &s
}

// input is a file that a command reads, or none.
type input struct {
	r io.Reader
	io.Closer
}

// reader returns nil when there is no file.
func (i input) reader() io.Reader { return i.r }

// openFile opens what a command reads: nothing, standard input for "-", or a file.
func (c *cli) openFile(name string) (input, error) {
	switch name {
	case "":
		return input{nil, io.NopCloser(nil)}, nil
	case "-":
		return input{c.in, io.NopCloser(nil)}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return input{}, &node.UseError{Message: err.Error()}
	}
	return input{f, f}, nil
}

// writeFile gives write a new file, or standard output for "-". The file is there
// only when all of it is on the disk.
func (c *cli) writeFile(name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(c.out)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return &node.UseError{Message: name + " is there already: choose another name, or remove it"}
	}
	if err != nil {
		return &node.UseError{Message: err.Error()}
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
