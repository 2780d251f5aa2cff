package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Item is one file, folder or symbolic link of a tree.
type Item struct {
	Path string      // relative, with slashes
	Type byte        // 'f', 'd' or 'l'
	Mode fs.FileMode // permission bits; 0 for a link
	Size int64       // bytes; of a link those of its target; 0 for a folder
	Hash [32]byte    // SHA-256 of the content or of the link's target
}

// Digest returns the SHA-256 over the sorted list of path, type, mode, size and
// content hash, in hex. Two trees with the same digest are the same.
func Digest(items []Item) string {
	sorted := slices.SortedFunc(slices.Values(items), func(a, b Item) int { return strings.Compare(a.Path, b.Path) })
	h := sha256.New()
	for _, i := range sorted {
		fmt.Fprintf(h, "%q %c %04o %d %x\n", i.Path, i.Type, i.Mode.Perm(), i.Size, i.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// difference returns up to limit sentences on what two trees differ in.
func difference(want, got []Item, limit int) []string {
	restored := map[string]Item{}
	for _, i := range got {
		restored[i.Path] = i
	}
	var all []string
	for _, w := range want {
		g, ok := restored[w.Path]
		delete(restored, w.Path)
		switch {
		case !ok:
			all = append(all, w.Path+" is missing")
		case g.Type != w.Type:
			all = append(all, w.Path+" is of another type")
		case g.Mode != w.Mode:
			all = append(all, fmt.Sprintf("%s has mode %04o instead of %04o", w.Path, g.Mode, w.Mode))
		case g.Size != w.Size:
			all = append(all, fmt.Sprintf("%s has %d bytes instead of %d", w.Path, g.Size, w.Size))
		case g.Hash != w.Hash:
			all = append(all, w.Path+" has another content")
		}
	}
	for path := range restored {
		all = append(all, path+" was never stored")
	}
	slices.Sort(all)
	if len(all) > limit {
		all = append(all[:limit], fmt.Sprintf("and %d more", len(all)-limit))
	}
	return all
}
