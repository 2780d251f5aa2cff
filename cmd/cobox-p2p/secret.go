package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// maxSecret is more bytes than a secret or an address has as text.
const maxSecret = 4 << 10

// secret returns the text that an argument stands for: "-" is the line on
// standard input, "@FILE" that in a file, and no argument, or "-" at a terminal,
// asks there without showing what is typed. what names it for the person.
func (c *cli) secret(ctx context.Context, what string, args []string) (string, error) {
	switch {
	case len(args) == 0:
		return c.ask(ctx, what)
	case args[0] == "-":
		if _, ok := c.terminal(); ok {
			return c.ask(ctx, what)
		}
		return firstLine(c.in, what+" on standard input")
	case strings.HasPrefix(args[0], "@"):
		f, err := os.Open(args[0][1:])
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", what, err)
		}
		defer f.Close()
		return firstLine(f, what+" in "+args[0][1:])
	}
	return args[0], nil
}

// warnLiteral warns when a secret stood on the command line itself.
func (c *cli) warnLiteral(args []string) {
	if len(args) > 0 && args[0] != "-" && !strings.HasPrefix(args[0], "@") && likeSecret(args[0]) {
		c.warn("the secret stands on the command line, where other users and your shell's history may see it: - or @FILE hides it")
	}
}

// likeSecret says whether text is a secret or was meant as one.
func likeSecret(text string) bool {
	if _, err := multifeed.ParseAccess(text); err == nil {
		return isSecret(text)
	}
	const begin, accessKey = "cbxsecret", 128 // hex digits
	return strings.HasPrefix(strings.ToLower(text), begin) || len(text) >= accessKey*3/4
}

// terminal returns the descriptor of standard input if that is a terminal.
func (c *cli) terminal() (fd int, ok bool) {
	f, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

func firstLine(r io.Reader, what string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	line, rest, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if len(text) > maxSecret || rest != "" || line == "" {
		return "", &node.UseError{Message: "there must be one line with the " + what}
	}
	return line, nil
}

// ask reads a line from the terminal without echo.
func (c *cli) ask(ctx context.Context, what string) (string, error) {
	fd, ok := c.terminal()
	if !ok {
		return "", &node.UseError{Message: fmt.Sprintf(`no %s: give "-" to read it from standard input, @FILE for a file, or run this at a terminal to be asked`, what)}
	}
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for the %s: %w", what, err)
	}
	fmt.Fprintf(c.err, "The %s (not shown): ", what)
	type typed struct {
		text []byte
		err  error
	}
	answer := make(chan typed, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		answer <- typed{text, err}
	}()
	select {
	case a := <-answer:
		fmt.Fprintln(c.err)
		if a.err != nil {
			return "", fmt.Errorf("ask for the %s: %w", what, a.err)
		}
		return strings.TrimSpace(string(a.text)), nil
	case <-ctx.Done():
		term.Restore(fd, state) // the process ends now, and with it the read
		fmt.Fprintln(c.err)
		return "", ctx.Err()
	}
}

// isSecret says whether the text form is a member's.
func isSecret(text string) bool {
	a, err := multifeed.ParseAccess(text)
	return err == nil && a.EncryptionKey != nil
}
