package node

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// packages are the prefixes by which errors name their package: good for a
// programmer, noise for who runs a node.
var packages = []string{"multifeed: ", "host: ", "hypercore: ", "discovery: ", "corestore: ", "storage: ", "merkle: ", "wire: ", "sleep: "}

// Message returns err as people are told it: without the names of packages, and
// of a failed store without the stack that lies behind the first line.
func Message(err error) string {
	text := err.Error()
	if errors.Is(err, hypercore.ErrStorageFailed) {
		text, _, _ = strings.Cut(text, "\n")
	}
	return plainText(text)
}

// plainText drops the names of packages at the beginning of a message and of
// each message that it wraps.
func plainText(text string) string {
	var b strings.Builder
	for text != "" {
		text = trimPackages(text)
		i := strings.Index(text, ": ")
		j := strings.IndexByte(text, '\n')
		end := len(text)
		switch {
		case i >= 0 && (j < 0 || i < j):
			end = i + len(": ")
		case j >= 0:
			end = j + 1
		}
		b.WriteString(text[:end])
		text = text[end:]
	}
	return b.String()
}

func trimPackages(text string) string {
	for _, p := range packages {
		if rest, ok := strings.CutPrefix(text, p); ok {
			return trimPackages(rest)
		}
	}
	return text
}

// maxDetails is how many lines behind the first are kept of a message for a line
// of status.
const maxDetails = 2

// oneLine puts a message of several lines, as of a dial that tried many
// addresses, on one, with the first few of its details.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(plainText(text)) {
		if line = strings.Trim(line, " \t\r\n*"); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	first, details := lines[0], lines[1:]
	if over := len(details) - maxDetails; over > 0 {
		details = append(details[:maxDetails:maxDetails], fmt.Sprintf("and %d more", over))
	}
	if len(details) == 0 {
		return first
	}
	return strings.TrimSuffix(first, ":") + ": " + strings.Join(details, "; ")
}

// Count returns "1 block", "2 blocks" and the like.
func Count[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
