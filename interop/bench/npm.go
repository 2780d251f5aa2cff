package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// minNode is the oldest major version of Node that the peers run on.
const minNode = 20

// peerNames are the folders of the peers on npm.
var peerNames = []string{"hypercore9", "hypercore11"}

// errNoPeers is returned where the folder of the peers is not found.
var errNoPeers = errors.New("run it in the root of the repository, where interop/bench/peers is, or with --npm=false")

// findPeers returns the folder of the peers, from the root of the repository or
// from the folder of this program.
func findPeers() (string, error) {
	for _, dir := range []string{"interop/bench/peers", "peers"} {
		if _, err := os.Stat(filepath.Join(dir, peerNames[0], "peer.js")); err == nil {
			return filepath.Abs(dir)
		}
	}
	return "", errNoPeers
}

// install finds Node and installs what the peers need, where it isn't.
func (p *programs) install(ctx context.Context) (err error) {
	if p.peers, err = findPeers(); err != nil {
		return err
	}
	if p.node, err = exec.LookPath("node"); err != nil {
		return fmt.Errorf("the peers on npm need Node %d, or leave them out with --npm=false: %w", minNode, err)
	}
	if err := checkNode(ctx, p.node); err != nil {
		return err
	}
	for _, name := range peerNames {
		if dir := filepath.Join(p.peers, name); !installed(dir) {
			if err := npmInstall(ctx, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkNode(ctx context.Context, node string) error {
	version, err := nodeVersion(ctx, node)
	if err != nil {
		return err
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < minNode {
		return fmt.Errorf("node is %.20q, want v%d or later", version, minNode)
	}
	return nil
}

func nodeVersion(ctx context.Context, node string) (string, error) {
	out, err := exec.CommandContext(ctx, node, "--version").Output()
	return strings.TrimSpace(string(out)), err
}

// installed says whether npm finished an installation from the lock file of now:
// the hidden lock file is the last thing that it writes.
func installed(dir string) bool {
	done, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err != nil {
		return false
	}
	lock, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	return err == nil && !lock.ModTime().After(done.ModTime())
}

// npmInstall runs no package's own scripts: the native ones bring their binaries
// along.
func npmInstall(ctx context.Context, dir string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in %s: %w\n%s", dir, err, out)
	}
	return nil
}
