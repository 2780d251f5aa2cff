package main

import (
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// Status says with whom a space has no session because others have their turn.
func TestStatusShowsTurns(t *testing.T) {
	var text strings.Builder
	printStatus(&text, node.Status{Spaces: []node.SpaceStatus{{
		Name: "photos", Parked: []string{"rests"}, Waiting: []string{"waits"},
	}}})
	for _, want := range []string{"  parked\trests, until there is news\n", "  waiting\twaits, for a turn on its connection\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("status lacks %q:\n%s", want, text.String())
		}
	}
}
