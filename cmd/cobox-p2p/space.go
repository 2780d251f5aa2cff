package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (c *cli) spaceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "space",
		Short: "Create, join, seed, show, leave and list spaces",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &node.UseError{Message: "space: say what to do, one of create, join, seed, show, leave and list"}
		},
	}
	cmd.AddCommand(c.createCommand(), c.joinCommand(), c.seedCommand(), c.showCommand(), c.leaveCommand(), c.listCommand())
	return cmd
}

func (c *cli) createCommand() *cobra.Command {
	var open bool
	cmd := &cobra.Command{
		Use:   "create [NAME] [--open]",
		Short: "Make a new space and print its address and its secret",
		Long: "Makes a new space and joins it. It prints the name, the address, which lets others seed the space, and the secret, which lets them read and write it.\n" +
			"Keep the secret: nobody can make it again.",
		Args: takes(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				s, err := client.Create(cmd.Context(), optional(args, 0), open)
				if err != nil {
					return err
				}
				return c.printSpace(s)
			})
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "an open space, as in CoBox of 2020: who knows the address can add feeds")
	return cmd
}

func (c *cli) joinCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "join [SECRET|ACCESSKEY|-|@FILE] [NAME] [--name NAME]",
		Short: "Become a member of a space, with its secret",
		Long: "Joins a space as a member, with the secret of a signed space or the access key of an open one: - reads it from standard input,\n" +
			"@FILE from a file, and without it you are asked. Given literally it stays in your shell's history.",
		Args: takes(0, "SECRET", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name != "" && len(args) > 1 {
				return &node.UseError{Message: "join: give the name once, with --name or behind the secret"}
			}
			c.warnLiteral(args)
			text, err := c.secret(cmd.Context(), "secret", args)
			if err != nil {
				return err
			}
			return c.client(func(client *api.Client) error {
				s, err := client.Join(cmd.Context(), text, cmp.Or(name, optional(args, 1)))
				if err != nil {
					return err
				}
				return c.printSpace(s)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`name` of the space on this node, also when you are asked for the secret")
	return cmd
}

func (c *cli) seedCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "seed ADDRESS|-|@FILE [NAME]",
		Short: "Store and serve a space without being able to read it",
		Long:  "Seeds a space: stores and serves all of it, and reads nothing. The address is enough; of a secret only the address is kept.",
		Args:  takes(1, "ADDRESS", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.warnLiteral(args)
			text, err := c.secret(cmd.Context(), "address", args)
			if err != nil {
				return err
			}
			if isSecret(text) {
				c.warn("that is the secret of the space, and a seeder needs only its address: the secret is not kept")
			}
			return c.client(func(client *api.Client) error {
				s, err := client.Seed(cmd.Context(), text, optional(args, 1))
				if err != nil {
					return err
				}
				return c.printSpace(s)
			})
		},
	}
}

func (c *cli) showCommand() *cobra.Command {
	var secret bool
	cmd := &cobra.Command{
		Use:   "show SPACE [--secret]",
		Short: "Print a space's address, and its secret when asked to",
		Args:  takes(1, "SPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				s, err := client.Show(cmd.Context(), args[0], secret)
				if err != nil {
					return err
				}
				return c.printSpace(s)
			})
		},
	}
	cmd.Flags().BoolVar(&secret, "secret", false, "print the secret or access key too: whoever reads it becomes a member")
	return cmd
}

func (c *cli) leaveCommand() *cobra.Command {
	var keep, force bool
	cmd := &cobra.Command{
		Use:   "leave SPACE [--keep|--force]",
		Short: "Forget a space on this node and delete its blocks",
		Long: "Ends the sessions of a space, forgets its secret, and deletes its blocks from this node, but for feeds that another space here has.\n" +
			"Blocks that this node wrote and that no connected peer holds would be lost: then leave refuses, unless --force is set.",
		Args: takes(1, "SPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if keep && force {
				return &node.UseError{Message: "leave: either --keep the blocks or --force their deletion"}
			}
			return c.client(func(client *api.Client) error {
				l, err := client.Leave(cmd.Context(), args[0], keep, force)
				if err != nil {
					return err
				}
				return c.print(l, func(w io.Writer) { printLeft(w, l) })
			})
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the blocks in the store: joined again, the space has them at once")
	cmd.Flags().BoolVar(&force, "force", false, "delete blocks of this node's own that no connected peer holds, too")
	return cmd
}

func printLeft(w io.Writer, l node.Left) {
	what := "deleted"
	if l.Kept {
		what = "kept in the store"
	}
	fmt.Fprintf(w, "left space %s: %s, %s %s\n", l.Name, node.Count(l.Feeds, "feed", "feeds"), sizeText(l.Bytes), what)
	if l.Shared > 0 {
		fmt.Fprintf(w, "kept because another space here has them: %s\n", node.Count(l.Shared, "feed", "feeds"))
	}
}

func (c *cli) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the spaces of this node",
		Args:  takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.client(func(client *api.Client) error {
				all, err := client.Spaces(cmd.Context())
				if err != nil {
					return err
				}
				answer := struct {
					Spaces []node.SpaceInfo `json:"spaces"`
				}{all}
				return c.print(answer, func(w io.Writer) {
					for _, s := range all {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.Mode, s.Kind, s.DiscoveryKey[:8], s.Error)
					}
				})
			})
		},
	}
}

func (c *cli) printSpace(s node.SpaceInfo) error {
	return c.print(s, func(w io.Writer) {
		fmt.Fprintf(w, "name\t%s\nkind\t%s\nmode\t%s\naddress\t%s\ndiscovery key\t%s\n", s.Name, s.Kind, s.Mode, s.Address, s.DiscoveryKey)
		if s.Secret != "" {
			fmt.Fprintf(w, "secret\t%s\n", s.Secret)
		}
		if s.Error != "" {
			fmt.Fprintf(w, "error\t%s\n", s.Error)
		}
	})
}
