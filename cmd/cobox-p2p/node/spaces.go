package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Limits of the list of spaces.
const (
	MaxSpaces     = 16384 // as many as discovery takes
	MaxSpaceName  = 64    // bytes
	maxSpacesFile = 16 << 20
	spacesVersion = 1
)

// What a node is to a space.
const (
	ModeMember = "member" // holds the keys: reads, writes, and serves
	ModeSeeder = "seeder" // holds the address alone: stores and serves
)

// entry is one space in spaces.json.
type entry struct {
	Name string `json:"name"`
	// Access is a text form that multifeed.ParseAccess reads. For members it is a
	// secret.
	Access string `json:"access"`
	Mode   string `json:"mode"`
	// Leaving says that the space's blocks are being deleted: what an interrupted
	// leave did not finish is finished at the next start.
	Leaving bool `json:"leaving,omitempty"`
}

type spacesJSON struct {
	Version int     `json:"version"`
	Spaces  []entry `json:"spaces"`
}

// access returns what the entry's text says, without keys for a seeder.
func (e entry) access() (multifeed.Access, error) {
	a, err := multifeed.ParseAccess(e.Access)
	if err != nil {
		return a, err
	}
	if e.Mode == ModeSeeder {
		a = multifeed.Access{Address: a.Address}
	}
	return a, nil
}

// readSpaces returns the entries of spaces.json, none when there is no such
// file. A damaged file is an error: it may hold the only copy of a secret, so
// nothing is written over it.
func readSpaces(dir string) ([]entry, error) {
	path := filepath.Join(dir, spacesFile)
	data, err := readSecret(path, maxSpacesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := decodeSpaces(data)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; mend it or put a copy in its place", path, err)
	}
	return list, nil
}

func decodeSpaces(data []byte) ([]entry, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var f spacesJSON
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the list of spaces")
	}
	if f.Version != spacesVersion {
		return nil, fmt.Errorf("version %d is not known, only %d is", f.Version, spacesVersion)
	}
	if len(f.Spaces) > MaxSpaces {
		return nil, fmt.Errorf("over %d spaces", MaxSpaces)
	}
	names, addresses := map[string]bool{}, map[multifeed.Address]bool{}
	for i, e := range f.Spaces {
		a, err := e.access()
		if err != nil {
			return nil, fmt.Errorf("space %d: %w", i, err)
		}
		if err := checkSpaceName(e.Name); err != nil {
			return nil, fmt.Errorf("space %d: %w", i, err)
		}
		switch {
		case e.Mode != ModeMember && e.Mode != ModeSeeder:
			return nil, fmt.Errorf("space %q: mode %q is none", e.Name, e.Mode)
		case names[e.Name]:
			return nil, fmt.Errorf("two spaces are named %q", e.Name)
		case addresses[a.Address]:
			return nil, fmt.Errorf("space %q is there twice", e.Name)
		}
		names[e.Name], addresses[a.Address] = true, true
	}
	return f.Spaces, nil
}

func writeSpaces(dir string, list []entry) error {
	data, err := json.MarshalIndent(spacesJSON{spacesVersion, list}, "", "\t")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, spacesFile), append(data, '\n'))
}

// textForms begin the text forms of addresses and secrets.
var textForms = []string{"cbxopen", "cbxaddr", "cbxsecret"}

// checkNewName is checkSpaceName for a name that is given now. One that looks
// like an address or a secret is one that was mistyped, or stands in the wrong
// place; it isn't repeated.
func checkNewName(name string) error {
	for _, begin := range textForms {
		if strings.HasPrefix(strings.ToLower(name), begin) {
			return useErrorf("the name of a space doesn't begin with %s, as an address or a secret does", begin)
		}
	}
	return checkSpaceName(name)
}

// checkSpaceName returns a *UseError for what can't name a space.
func checkSpaceName(name string) error {
	switch {
	case name == "" || len(name) > MaxSpaceName || !utf8.ValidString(name):
		return useErrorf("the name of a space has 1 to %d bytes of UTF-8", MaxSpaceName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return useErrorf("the name of a space has no control characters")
	case strings.ContainsAny(name, `/\`) || name == "." || name == "..":
		return useErrorf("the name of a space has no slashes and isn't a dot")
	case strings.HasPrefix(name, "-") || strings.HasPrefix(name, "@"):
		return useErrorf(`the name of a space doesn't begin with "-" or "@"`)
	}
	if _, err := multifeed.ParseAccess(name); err == nil {
		return useErrorf("an address or a secret is no name for a space")
	}
	return nil
}
