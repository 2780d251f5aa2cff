package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// unlimited is how a limit is taken back.
const unlimited = "unlimited"

// givenFlags knows which flags were given.
type givenFlags interface{ Changed(name string) bool }

// limitFlags are the flags of limit by their texts; what wasn't given stays as it
// is.
type limitFlags struct {
	up, down, bytes, feedBytes  string
	feeds, peers, announcements string
}

func (c *cli) limitCommand() *cobra.Command {
	var f limitFlags
	cmd := &cobra.Command{
		Use:   "limit [SPACE] [--up RATE] [--down RATE] [--bytes SIZE] [--feed-bytes SIZE] [--feeds N] [--peers N] [--announcements N]",
		Short: "Show or change what the node, or a space, gives and takes in",
		Long: "Without flags it shows the limits of the node, or of SPACE, and how they stand; with flags it changes them, at once and for good.\n" +
			"RATE is bytes a second, as 500K or 2M, and others by times of day behind commas: \"500K, 22:00-06:00 unlimited\". SIZE is bytes, as 10G.\n" +
			"Every limit can be " + unlimited + ". Those of the node are for all spaces together.",
		Args: takes(0, "SPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, any, err := f.change(cmd.Flags())
			if err != nil {
				return err
			}
			return c.client(func(client *api.Client) error {
				var l node.LimitStatus
				if any {
					l, err = client.SetLimits(cmd.Context(), optional(args, 0), change)
				} else {
					l, err = client.Limits(cmd.Context(), optional(args, 0))
				}
				if err != nil {
					return err
				}
				return c.print(l, func(w io.Writer) { printLimits(w, l) })
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.up, "up", "", "`rate` of what is sent")
	fl.StringVar(&f.down, "down", "", "`rate` of what is received")
	fl.StringVar(&f.bytes, "bytes", "", "`size` of all blocks stored")
	fl.StringVar(&f.feedBytes, "feed-bytes", "", "`size` of the blocks stored of one feed of somebody else; of a space")
	fl.StringVar(&f.feeds, "feeds", "", "`number` of feeds up to which those of others are taken in; of a space")
	fl.StringVar(&f.peers, "peers", "", "`number` of peers at once; of a space")
	fl.StringVar(&f.announcements, "announcements", "", "`number` of announcements a minute that are looked at; of a space")
	return cmd
}

// change returns what the flags that were given say, or a *node.UseError.
func (f limitFlags) change(given givenFlags) (c node.LimitChange, any bool, err error) {
	rate := func(text string) (string, error) {
		if text = strings.TrimSpace(text); strings.EqualFold(text, unlimited) {
			return "", nil
		}
		return text, nil
	}
	errs := []error{
		limitFlag(given, "up", f.up, &c.Up, rate), limitFlag(given, "down", f.down, &c.Down, rate),
		limitFlag(given, "bytes", f.bytes, &c.Bytes, parseSize), limitFlag(given, "feed-bytes", f.feedBytes, &c.FeedBytes, parseSize),
		limitFlag(given, "feeds", f.feeds, &c.Feeds, parseNumber), limitFlag(given, "peers", f.peers, &c.Peers, parseNumber),
		limitFlag(given, "announcements", f.announcements, &c.Announcements, parseNumber),
	}
	for _, err := range errs {
		if err != nil {
			return c, false, err
		}
	}
	return c, c != (node.LimitChange{}), nil
}

func limitFlag[T any](given givenFlags, name, text string, to **T, parse func(string) (T, error)) error {
	if !given.Changed(name) {
		return nil
	}
	v, err := parse(text)
	if err != nil {
		return &node.UseError{Message: fmt.Sprintf("--%s: %v", name, err)}
	}
	*to = &v
	return nil
}

// parseSize reads bytes, as 10G; unlimited is 0.
func parseSize(text string) (uint64, error) {
	text = strings.ToUpper(strings.TrimSpace(text))
	if strings.EqualFold(text, unlimited) {
		return 0, nil
	}
	number, unit := text, uint64(1)
	for i, letter := range []string{"K", "M", "G", "T"} {
		if n, ok := strings.CutSuffix(text, letter); ok {
			number, unit = n, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no size, as 10G or %s", text, unlimited)
	}
	return n * unit, nil
}

// parseNumber reads a number above 0; unlimited is 0.
func parseNumber(text string) (int, error) {
	if strings.EqualFold(strings.TrimSpace(text), unlimited) {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no number above 0, nor %s", text, unlimited)
	}
	return int(n), nil
}

func printLimits(w io.Writer, l node.LimitStatus) {
	what := "node"
	if l.Space != "" {
		what = "space " + l.Space
	}
	fmt.Fprintf(w, "limits of\t%s\n", what)
	fmt.Fprintf(w, "up\t%s\tsent %s\n", rateText(l.Up, l.UpNow), sizeText(l.Sent))
	fmt.Fprintf(w, "down\t%s\treceived %s\n", rateText(l.Down, l.DownNow), sizeText(l.Received))
	fmt.Fprintf(w, "bytes\t%s\t%s stored\n", limitText(l.Bytes, sizeText), sizeText(l.Stored))
	if l.Space == "" {
		return
	}
	number := func(n int) string { return strconv.Itoa(n) }
	fmt.Fprintf(w, "bytes of a feed\t%s\nfeeds\t%s\npeers\t%s\nannouncements a minute\t%s\n",
		limitText(l.FeedBytes, sizeText), limitText(l.Feeds, number), limitText(l.Peers, number), limitText(l.Announcements, number))
}

func limitText[T comparable](limit T, text func(T) string) string {
	var none T
	if limit == none {
		return unlimited
	}
	return text(limit)
}

// rateText says what was set, and what of it holds now when that is by times of day.
func rateText(schedule string, now uint64) string {
	switch {
	case schedule == "":
		return unlimited
	case !strings.Contains(schedule, ","):
		return schedule + " a second"
	case now == 0:
		return schedule + " (now " + unlimited + ")"
	}
	return fmt.Sprintf("%s (now %s/s)", schedule, sizeText(now))
}
