package main

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/demo"
)

func (c *cli) demoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo [PATH]",
		Short: "Store a file or folder, lose the writer, and read it back from a seeder",
		Long: "Shows the main job on PATH (default the current folder), with four nodes on this machine: one stores PATH in a new space, a seeder that knows only\n" +
			"the address copies it, the first is killed, and a reader with the secret finds the seeder through a DHT of their own and restores PATH beside it.\n" +
			"Nothing leaves this machine, PATH is only read, and everything is removed at the end.",
		Args: takes(0, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := demo.Run(cmd.Context(), demo.Options{Path: cmp.Or(optional(args, 0), "."), Keep: keep, Progress: c.err})
			c.told = true
			var err error
			if c.json {
				err = c.printJSON(r)
			} else {
				err = r.Write(c.out)
			}
			if err == nil && !r.OK {
				err = errors.New("the demo failed: " + r.Error.Message)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the folders of the nodes and what was restored")
	return cmd
}
