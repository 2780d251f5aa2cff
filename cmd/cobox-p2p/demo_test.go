package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/demo"
)

// plant makes a small folder with something of everything.
func plant(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"letter.txt":             []byte("Dear reader, this is a letter that only its readers may read.\n"),
		"empty":                  nil,
		"sub/deeper/picture.bin": noise(300<<10, 7),
		"sub/zeros.bin":          make([]byte, 100<<10),
		"sub/read only.txt":      []byte("a file that may not be written"),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "sub/read only.txt"), 0o444); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Symlink("/etc/passwd", filepath.Join(dir, "sub/link")); err != nil {
			t.Fatal(err)
		}
		closed := filepath.Join(dir, "sub/deeper")
		if err := os.Chmod(closed, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(closed, 0o755) })
	}
	return dir
}

// TestDemo runs the demo as make check and a reader of the README do, on a small
// folder.
func TestDemo(t *testing.T) {
	t.Setenv(asProgram, "1") // for the demo's own processes
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	r := cobox(t, nil, "demo", plant(t), "--json")
	var d demo.Report
	if err := json.Unmarshal([]byte(r.out), &d); err != nil {
		t.Fatalf("the demo printed no JSON: %v\n%s%s", err, r.out, r.err)
	}
	if r.code != exitDone || !d.OK || d.Files != 5 || d.Stored == "" || d.Stored != d.Restored || len(d.Skipped) != 0 {
		t.Fatalf("exit code %d, %+v\n%s", r.code, d, r.err)
	}
	if d.Searched == 0 || len(d.Plaintext) != 0 || len(d.Nodes) != 4 || len(d.Providers) == 0 {
		t.Errorf("the demo told %+v", d)
	}
	if left, _ := os.ReadDir(temporary); len(left) != 0 {
		t.Errorf("the demo left %v", left)
	}
}

func TestDemoFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := cobox(t, nil, "demo", filepath.Join(t.TempDir(), "absent"), "--json")
	var d demo.Report
	if err := json.Unmarshal([]byte(r.out), &d); err != nil || d.OK || d.Error == nil || d.Error.Code != "failed" || d.Error.Message == "" || r.code != exitFailed {
		t.Errorf("exit code %d, %+v, %v", r.code, d, err)
	}
	if !strings.Contains(r.err, "absent") {
		t.Errorf("the path is not named: %s", r.err)
	}
}
