package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

const (
	limitsFile    = "limits.json"
	limitsVersion = 1
	maxLimitsFile = 16 << 20
	// MaxBlocked is how many feeds, and how many peers, can be blocked.
	MaxBlocked = 4096
)

// Limits are what a node or a space takes in and gives. A field that is 0 or empty
// is no limit. Of a node there are the rates and Bytes only.
type Limits struct {
	Up            string `json:"up,omitempty"`            // a multifeed.Schedule
	Down          string `json:"down,omitempty"`          // a multifeed.Schedule
	Bytes         uint64 `json:"bytes,omitempty"`         // of all blocks stored
	FeedBytes     uint64 `json:"feedBytes,omitempty"`     // of the blocks of one feed that isn't written here
	Feeds         int    `json:"feeds,omitempty"`         // of the space
	Peers         int    `json:"peers,omitempty"`         // of the space at once
	Announcements int    `json:"announcements,omitempty"` // a minute
}

// Blocked are the feeds and peers with which nothing is exchanged.
type Blocked struct {
	Feeds []string `json:"feeds"` // keys, ascending
	Peers []string `json:"peers"` // peer IDs, ascending
}

// limitsJSON is limits.json.
type limitsJSON struct {
	Version int               `json:"version"`
	Node    Limits            `json:"node"`
	Spaces  map[string]Limits `json:"spaces"` // by discovery key
	Blocked Blocked           `json:"blocked"`
}

// check returns a *UseError for what can't be a limit.
func (l Limits) check() error {
	for _, rate := range []struct{ name, text string }{{"up", l.Up}, {"down", l.Down}} {
		if _, err := l.schedule(rate.text); err != nil {
			return useErrorf("--%s: %v", rate.name, Message(err))
		}
	}
	if l.Feeds < 0 || l.Peers < 0 || l.Announcements < 0 {
		return useErrorf("a limit isn't below 0")
	}
	return nil
}

// schedule reads a rate that may be left out.
func (l Limits) schedule(text string) (multifeed.Schedule, error) {
	if text == "" {
		return multifeed.Schedule{}, nil
	}
	return multifeed.ParseSchedule(text)
}

// schedules returns the rates of limits that pass check.
func (l Limits) schedules() (up, down multifeed.Schedule) {
	up, _ = l.schedule(l.Up)
	down, _ = l.schedule(l.Down)
	return up, down
}

// ofSpace returns the part that is the space's own to keep.
func (l Limits) ofSpace() multifeed.Limits {
	return multifeed.Limits{Feeds: l.Feeds, FeedBytes: l.FeedBytes, SpaceBytes: l.Bytes, Announcements: l.Announcements}
}

// readLimits returns what limits.json says, nothing when there is no such file. A
// damaged one is an error: who limits a node doesn't want it to run without.
func readLimits(dir string) (f limitsJSON, err error) {
	path := filepath.Join(dir, limitsFile)
	data, err := readSecret(path, maxLimitsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return limitsJSON{Version: limitsVersion, Spaces: map[string]Limits{}}, nil
	}
	if err == nil {
		f, err = decodeLimits(data)
		if err != nil {
			err = fmt.Errorf("%s is damaged: %w; mend it, or remove it to run without limits", path, err)
		}
	}
	return f, err
}

func decodeLimits(data []byte) (f limitsJSON, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, err
	}
	if _, err := d.Token(); err != io.EOF {
		return f, errors.New("something follows the limits")
	}
	if f.Version != limitsVersion {
		return f, fmt.Errorf("version %d is not known, only %d is", f.Version, limitsVersion)
	}
	if len(f.Spaces) > MaxSpaces || len(f.Blocked.Feeds) > MaxBlocked || len(f.Blocked.Peers) > MaxBlocked {
		return f, errors.New("too much is limited or blocked")
	}
	if f.Spaces == nil {
		f.Spaces = map[string]Limits{}
	}
	for _, l := range f.Spaces {
		if err := l.check(); err != nil {
			return f, err
		}
	}
	slices.Sort(f.Blocked.Feeds)
	slices.Sort(f.Blocked.Peers)
	for _, text := range f.Blocked.Feeds {
		if _, err := parseFeedKey(text); err != nil {
			return f, fmt.Errorf("blocked feed %q: %w", clip(text), err)
		}
	}
	for _, text := range f.Blocked.Peers {
		if _, err := peer.Decode(text); err != nil {
			return f, fmt.Errorf("blocked peer %q: %w", clip(text), err)
		}
	}
	return f, f.Node.check()
}

func writeLimits(dir string, f limitsJSON) error {
	data, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, limitsFile), append(data, '\n')); err != nil {
		return fmt.Errorf("remember the limits: %w", err)
	}
	return nil
}
