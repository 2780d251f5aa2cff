package main

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// takes returns a check of a command's arguments by their names, the first of
// which can't be left out. What was given is not repeated: it may be a secret.
func takes(required int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
		switch {
		case len(args) < required:
			return fmt.Errorf("%s: %s is missing, as in: %s", name, names[len(args)], cmd.UseLine())
		case len(names) == 0 && len(args) > 0:
			return fmt.Errorf("%s takes no argument", name)
		case len(args) > len(names):
			return fmt.Errorf("%s takes %s and nothing more, and got %d arguments", name, strings.Join(names, " and "), len(args))
		}
		return nil
	}
}

// takesMore is takes with any number of arguments behind the named ones.
func takesMore(required int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		return takes(required, names...)(cmd, args[:min(len(args), len(names))])
	}
}

// optional returns the argument at i, or nothing.
func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// checkTimeout refuses a time that is over before it began.
func checkTimeout(d time.Duration) error {
	if d < 0 {
		return &node.UseError{Message: fmt.Sprintf("--timeout: %v is less than nothing", d)}
	}
	return nil
}

// version returns what the build tells of the program.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}
