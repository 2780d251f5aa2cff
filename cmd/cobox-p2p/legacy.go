package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (c *cli) legacyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "legacy",
		Short: "Bring feeds over from CoBox's old nodes, or back",
		Long: "Reads and writes the stores of CoBox before cobox-p2p: folders of the npm packages corestore 5 and hypercore 9.\n" +
			"See docs/legacy.md, \"Coming over from CoBox\".",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &node.UseError{Message: "legacy: say what to do, one of import, confirm and export"}
		},
	}
	cmd.AddCommand(c.legacyImportCommand(), c.legacyConfirmCommand(), c.legacyExportCommand())
	return cmd
}

func (c *cli) legacyImportCommand() *cobra.Command {
	var space string
	cmd := &cobra.Command{
		Use:   "import DIR [NAME] [--space ACCESSKEY|ADDRESS|SPACE|-|@FILE]",
		Short: "Take the feeds of an old store into a space",
		Long: "Takes what verifies of the feeds of a space out of DIR, a store of corestore 5 or the folder of one hypercore 9 feed, and joins the space, as NAME, if it isn't here.\n" +
			"With an access key this node becomes a member, with an address a seeder. The space can be left out when the store has only one.\n" +
			"Nothing is written to DIR. Writers whose keys are there stay read-only until legacy confirm. Repeated, it goes on where it ended.",
		Args: takes(1, "DIR", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := node.ImportOptions{Name: optional(args, 1)}
			var err error
			if o.Dir, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			if cmd.Flags().Changed("space") {
				c.warnLiteral([]string{space})
				if o.Space, err = c.secret(cmd.Context(), "access key", []string{space}); err != nil {
					return err
				}
				if o.Space == "" {
					return &node.UseError{Message: "legacy import: --space is empty"}
				}
			}
			return c.client(func(client *api.Client) error {
				i, err := client.Import(cmd.Context(), o)
				if err != nil {
					return interrupted(err, "what was imported stays, and the same command goes on with it")
				}
				return c.printImported(i)
			})
		},
	}
	cmd.Flags().StringVar(&space, "space", "", "`access key`, address or name of the space")
	return cmd
}

func (c *cli) legacyConfirmCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "confirm SPACE [FEED...] [--yes]",
		Short: "Say that nothing else writes imported writers any more",
		Long: "Makes writers that legacy import brought writable here, all of a space or those that FEED names, by key or writer's name.\n" +
			"Only when the old software is off for good, and the folder that was imported is the last that it wrote and not a back-up: a feed that two programs write, or that is written on from an old copy, is lost to everybody.",
		Args: takesMore(1, "SPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			question := "Is the old software off, for good, wherever it wrote these feeds, and was its last folder imported?"
			if err := c.agree(cmd.Context(), question, yes); err != nil {
				return err
			}
			return c.client(func(client *api.Client) error {
				d, err := client.ConfirmImport(cmd.Context(), args[0], args[1:])
				if err != nil {
					return interrupted(err, "some writers may be confirmed: see status")
				}
				return c.print(d, func(w io.Writer) {
					for _, o := range d.Writers {
						fmt.Fprintf(w, "space %s\twriter %s\tfeed %s\t%s, written here from now on\n", d.Space, o.Writer, o.Feed, node.Count(o.Length, "block", "blocks"))
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return cmd
}

func (c *cli) legacyExportCommand() *cobra.Command {
	var keys, yes bool
	cmd := &cobra.Command{
		Use:   "export SPACE DIR [--with-keys [--yes]]",
		Short: "Make a store for the old software of an open space",
		Long: "Writes all feeds of an open space that are stored here into DIR, a new or empty folder, as a store that the old software opens. Its access key is that of the space.\n" +
			"With --with-keys the writers of this node go with it: they are never written here again.",
		Args: takes(2, "SPACE", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			if keys {
				question := "The writers of this node in the space will be read-only here for good. Give their keys away?"
				if err := c.agree(cmd.Context(), question, yes); err != nil {
					return err
				}
			}
			return c.client(func(client *api.Client) error {
				e, err := client.Export(cmd.Context(), args[0], dir, keys)
				if err != nil {
					return interrupted(err, "the folder isn't whole; the same command makes it anew")
				}
				return c.printExported(e)
			})
		},
	}
	cmd.Flags().BoolVar(&keys, "with-keys", false, "give the writers of this node to the old software, for good")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --with-keys, don't ask")
	return cmd
}

// agree asks at the terminal for a yes, unless it was given before.
func (c *cli) agree(ctx context.Context, question string, yes bool) error {
	if yes {
		return nil
	}
	if _, ok := c.terminal(); !ok {
		return &node.UseError{Message: question + " Say so with --yes, or run this at a terminal to be asked"}
	}
	fmt.Fprintf(c.err, "%s Type yes: ", question)
	line := make(chan string, 1)
	go func() {
		var text string
		fmt.Fscanln(c.in, &text)
		line <- text
	}()
	select {
	case text := <-line:
		if text != "yes" {
			return errors.New("nothing was done")
		}
		return nil
	case <-ctx.Done(): // the process ends now, and with it the read
		fmt.Fprintln(c.err)
		return ctx.Err()
	}
}
