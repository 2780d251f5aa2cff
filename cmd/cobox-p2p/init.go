package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (c *cli) initCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "init [--name NAME]",
		Short: "Set up a node in the data folder",
		Long:  "Sets up a node: makes the data folder with a new master key, from which the node's identity and its feeds follow.",
		Args:  takes(0),
		RunE: func(*cobra.Command, []string) error {
			f, err := node.Init(c.dir, name)
			if err != nil {
				return err
			}
			answer := struct {
				Dir    string `json:"dir"`
				Name   string `json:"name"`
				PeerID string `json:"peerId"`
			}{c.dir, name, f.PeerID().String()}
			return c.print(answer, func(w io.Writer) {
				fmt.Fprintf(w, "folder\t%s\npeer ID\t%s\n", answer.Dir, answer.PeerID)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`name` that the peers of your spaces are told")
	return cmd
}
