package node

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

func secretText() string { return multifeed.FormatSecret(multifeed.NewSecret()) }

func TestSpacesFile(t *testing.T) {
	dir := t.TempDir()
	if got, err := readSpaces(dir); err != nil || len(got) != 0 {
		t.Errorf("without a file: %v, %v", got, err)
	}
	want := []entry{
		{Name: "home", Access: secretText(), Mode: ModeMember},
		{Name: "friend's", Access: multifeed.NewOpenAddress().String(), Mode: ModeSeeder, Leaving: true},
	}
	if err := writeSpaces(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := readSpaces(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// TestDamagedSpacesFile holds that what may be the only copy of a secret is
// neither passed over nor overwritten.
func TestDamagedSpacesFile(t *testing.T) {
	secret := secretText()
	one := `{"name":"a","access":"` + secret + `","mode":"member"}`
	for what, text := range map[string]string{
		"no JSON":         `{"version":1,`,
		"more behind":     `{"version":1,"spaces":[]}{}`,
		"unknown field":   `{"version":1,"spaces":[],"more":1}`,
		"another version": `{"version":2,"spaces":[]}`,
		"no access":       `{"version":1,"spaces":[{"name":"a","access":"x","mode":"member"}]}`,
		"no mode":         `{"version":1,"spaces":[{"name":"a","access":"` + secret + `"}]}`,
		"no name":         `{"version":1,"spaces":[{"access":"` + secret + `","mode":"member"}]}`,
		"twice":           `{"version":1,"spaces":[` + one + `,` + strings.Replace(one, `"a"`, `"b"`, 1) + `]}`,
		"name twice":      `{"version":1,"spaces":[` + one + `,{"name":"a","access":"` + secretText() + `","mode":"member"}]}`,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, spacesFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readSpaces(dir)
		if err == nil || !strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want it called damaged, without the secret", what, err)
		}
	}
}

func TestSpaceNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "Zoë's space": true, strings.Repeat("x", MaxSpaceName): true, "a..b": true,
		"": false, strings.Repeat("x", MaxSpaceName+1): false, "a/b": false, `a\b`: false, ".": false, "..": false,
		"-a": false, "@a": false, "a\n": false, "\xff": false, secretText(): false, strings.Repeat("0", 64): false,
	} {
		err := checkSpaceName(name)
		if _, use := errors.AsType[*UseError](err); (err == nil) != ok || err != nil && !use {
			t.Errorf("checkSpaceName(%q) = %v, want fine: %v", name, err, ok)
		}
	}
}

func FuzzDecodeSpaces(f *testing.F) {
	f.Add([]byte(`{"version":1,"spaces":[{"name":"a","access":"` + strings.Repeat("0", 64) + `","mode":"seeder"}]}`))
	f.Add([]byte(`{"version":1,"spaces":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decodeSpaces(data)
		if err != nil {
			return
		}
		dir := t.TempDir()
		if err := writeSpaces(dir, list); err != nil {
			t.Fatal(err)
		}
		again, err := readSpaces(dir)
		if err != nil || len(again) != len(list) {
			t.Errorf("what was read can't be written and read again: %v", err)
		}
	})
}
