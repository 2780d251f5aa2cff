// Package jstest runs the JavaScript peer of interop/js against this
// implementation: js-libp2p below, the original hypercore 9 above, and the
// handshake, the feed list and the keys written a second time from
// interop/spec. The tests need Node 20 or later and npm. Where they are missing
// the tests are skipped, unless CI=true is set: then they fail.
package jstest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is the folder of the JavaScript peer.
const program = "../js"

// installTime bounds `npm ci`, which fetches some 170 packages.
const installTime = 5 * time.Minute

// minNode is the oldest major version of Node that the peer runs on.
const minNode = 20

// install makes the JavaScript peer runnable, once for all tests, and returns
// the path of node.
var install = sync.OnceValues(func() (node string, err error) {
	if node, err = exec.LookPath("node"); err != nil {
		return "", err
	}
	if err := checkVersion(node); err != nil {
		return "", err
	}
	if installed() {
		return node, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	// No package's own scripts: sodium-native brings its binaries along.
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = program
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &installError{err, out}
	}
	return node, nil
})

func checkVersion(node string) error {
	out, err := exec.Command(node, "--version").Output()
	if err != nil {
		return err
	}
	version := strings.TrimSpace(string(out))
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < minNode {
		return fmt.Errorf("node is %.20q, want v%d or later", version, minNode)
	}
	return nil
}

type installError struct {
	err    error
	output []byte
}

func (e *installError) Error() string { return "npm ci: " + e.err.Error() + "\n" + string(e.output) }

// installed says whether npm finished an installation from the lock file of now:
// the hidden lock file is the last thing that it writes.
func installed() bool {
	done, err := os.Stat(filepath.Join(program, "node_modules", ".package-lock.json"))
	if err != nil {
		return false
	}
	lock, err := os.Stat(filepath.Join(program, "package-lock.json"))
	return err == nil && !lock.ModTime().After(done.ModTime())
}

// nodePath returns the path of node, or ends the test where there is none.
func nodePath(t *testing.T) string {
	t.Helper()
	node, err := install()
	if err == nil {
		return node
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("the JavaScript peer can't run: %v", err)
	}
	t.Skipf("the JavaScript peer can't run: %v", err)
	return ""
}

// TestVectors runs the peer's own tests, which hold the specification's vectors.
func TestVectors(t *testing.T) {
	node := nodePath(t)
	cmd := exec.CommandContext(within(t), node, "--import", "./polyfill.js", "--test", "test/")
	cmd.Dir = program
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
}
