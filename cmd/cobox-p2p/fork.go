package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// forkHeader is the first line of a file with evidence. The feed's key and the
// evidence follow, each a line of hex digits.
const forkHeader = "cobox-p2p evidence of a fork 1"

// maxForkFile is the longest such file in bytes.
const maxForkFile = 1024 + 2*hypercore.MaxEvidence

func (c *cli) forkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fork",
		Short: "Show, export and check evidence that a feed's writer signed two histories",
		Args:  takes(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.forkShowCommand(), c.forkCheckCommand())
	return cmd
}

// fork is what is known of a feed that has forked.
type fork struct {
	Feed   string `json:"feed"`
	Ours   uint64 `json:"ours"`   // blocks of the history that was known where the fork was found
	Theirs uint64 `json:"theirs"` // blocks of the other one
	Text   string `json:"text"`
	File   string `json:"file,omitempty"` // to which the evidence was written
}

func newFork(key hypercore.Key, e *hypercore.ForkEvidence) fork {
	return fork{Feed: key.String(), Ours: e.Ours.Length, Theirs: e.Theirs.Length, Text: node.Message(e)}
}

func (c *cli) forkShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show SPACE FEED [FILE]",
		Short: "Say what a forked feed's writer signed twice, and write the evidence into a new file",
		Args:  takes(2, "SPACE", "FEED", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client(func(client *api.Client) error {
				f, err := findFork(cmd.Context(), client, args[0], args[1])
				if err != nil {
					return err
				}
				key, e, err := forkOf(f)
				if err != nil {
					return err
				}
				answer := newFork(key, e)
				if answer.File = optional(args, 2); answer.File != "" {
					if err := writeFork(answer.File, key, e); err != nil {
						return err
					}
				}
				return c.print(answer, func(w io.Writer) { fmt.Fprintf(w, "feed\t%s\nfork\t%s\n", answer.Feed, answer.Text) })
			})
		},
	}
}

// findFork returns the forked feed of a space that text names.
func findFork(ctx context.Context, client *api.Client, space, text string) (f node.FeedStatus, err error) {
	info, err := client.Show(ctx, space, false)
	if err != nil {
		return f, err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return f, err
	}
	for _, o := range s.Spaces {
		if o.Name != info.Name {
			continue
		}
		for _, f := range o.Feeds {
			if len(f.Evidence) > 0 && (f.Writer == text || strings.HasPrefix(f.Key, strings.ToLower(text))) {
				return f, nil
			}
		}
	}
	return f, &node.UseError{Message: fmt.Sprintf("space %s has no feed of that key or writer that has forked: see status", info.Name)}
}

func forkOf(f node.FeedStatus) (key hypercore.Key, e *hypercore.ForkEvidence, err error) {
	if err = decodeHex(key[:], f.Key); err == nil {
		e, err = hypercore.ParseForkEvidence(f.Evidence)
	}
	return key, e, err
}

func writeFork(path string, key hypercore.Key, e *hypercore.ForkEvidence) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n%s\n%x\n", forkHeader, key, e.Append(nil))
	return errors.Join(err, f.Close())
}

func (c *cli) forkCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check evidence of a fork, with nothing but the file",
		Args:  takes(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, e, err := readFork(args[0])
			if err == nil {
				err = e.Verify(key)
			}
			if err != nil {
				return err
			}
			answer := newFork(key, e)
			return c.print(answer, func(w io.Writer) {
				fmt.Fprintf(w, "feed\t%s\nfork\t%s\nproved\tboth histories are signed by this feed's writer\n", answer.Feed, answer.Text)
			})
		},
	}
}

// readFork reads what writeFork wrote.
func readFork(path string) (key hypercore.Key, e *hypercore.ForkEvidence, err error) {
	f, err := os.Open(path)
	if err != nil {
		return key, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxForkFile))
	if err != nil {
		return key, nil, err
	}
	lines := strings.Fields(strings.TrimPrefix(string(b), forkHeader))
	if !strings.HasPrefix(string(b), forkHeader+"\n") || len(lines) != 2 || decodeHex(key[:], lines[0]) != nil {
		return key, nil, &node.UseError{Message: path + " holds no evidence of a fork"}
	}
	raw, err := hex.DecodeString(lines[1])
	if err == nil {
		e, err = hypercore.ParseForkEvidence(raw)
	}
	if err != nil {
		return key, nil, &node.UseError{Message: path + " holds no evidence of a fork: " + node.Message(err)}
	}
	return key, e, nil
}

// decodeHex reads exactly the bytes of dst.
func decodeHex(dst []byte, text string) error {
	b, err := hex.DecodeString(text)
	if err == nil && len(b) != len(dst) {
		err = fmt.Errorf("%d bytes instead of %d", len(b), len(dst))
	}
	copy(dst, b)
	return err
}
