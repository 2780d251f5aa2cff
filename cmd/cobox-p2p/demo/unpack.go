package demo

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// unpack restores a tar stream below root, and nowhere else, whatever the
// stream's names and links say. It takes files, folders and symbolic links, and
// fails on anything else and on a name that is there already. Files are readable
// by their owner alone until finish. It returns the modes of what it made.
func unpack(r io.Reader, root *os.Root, progress func(int)) (map[string]fs.FileMode, error) {
	modes := map[string]fs.FileMode{}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			// What follows the end of the archive is padding; the feed's end is checked
			// by whoever reads it.
			_, err = io.Copy(io.Discard, r)
			return modes, err
		}
		if err != nil {
			return modes, fmt.Errorf("unpack: %w", err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
			return modes, fmt.Errorf("unpack: %q leads out of the folder", h.Name)
		}
		if err := unpackOne(t, h, name, root, progress); err != nil {
			return modes, fmt.Errorf("unpack %s: %w", name, err)
		}
		modes[name] = h.FileInfo().Mode().Perm()
	}
}

func unpackOne(t io.Reader, h *tar.Header, name string, root *os.Root, progress func(int)) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return root.Mkdir(name, 0o700)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{counter{f, progress}}, t, make([]byte, copyBuffer))
		if closing := f.Close(); err == nil {
			err = closing
		}
		return err
	}
	return fmt.Errorf("type %q is not restored", h.Typeflag)
}

// counter tells of the bytes written.
type counter struct {
	w        io.Writer
	progress func(int)
}

func (c counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.progress(n)
	return n, err
}

// finish reads back from the disk what lies below root, sets the modes, folders
// after what is in them, and returns what is there then.
func finish(root *os.Root, modes map[string]fs.FileMode) ([]Item, error) {
	var items []Item
	err := fsWalk(root, ".", func(name string, info os.FileInfo) error {
		i, err := readBack(root, name, info)
		items = append(items, i)
		return err
	})
	if err != nil {
		return nil, err
	}
	for n := len(items) - 1; n >= 0; n-- { // children come after their folders
		i := &items[n]
		if i.Type == 'l' {
			continue
		}
		if err := root.Chmod(i.Path, modes[i.Path]); err != nil {
			return nil, err
		}
		info, err := root.Lstat(i.Path)
		if err != nil {
			return nil, err
		}
		i.Mode = info.Mode().Perm()
	}
	return items, nil
}

// fsWalk visits everything below folder, folders before what is in them.
func fsWalk(root *os.Root, folder string, f visit) error {
	d, err := root.Open(folder)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		full := path.Join(folder, name)
		info, err := root.Lstat(full)
		if err != nil {
			return err
		}
		if err := f(full, info); err != nil {
			return err
		}
		if info.IsDir() {
			if err := fsWalk(root, full, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func readBack(root *os.Root, name string, info os.FileInfo) (Item, error) {
	i := Item{Path: name}
	switch mode := info.Mode(); {
	case mode.IsDir():
		i.Type = 'd'
	case mode&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		i.Type, i.Size, i.Hash = 'l', int64(len(target)), sha256.Sum256([]byte(target))
		return i, err
	default:
		f, err := root.Open(name)
		if err != nil {
			return i, err
		}
		defer f.Close()
		hash := sha256.New()
		i.Type = 'f'
		if i.Size, err = io.Copy(hash, f); err != nil {
			return i, err
		}
		i.Hash = [32]byte(hash.Sum(nil))
	}
	return i, nil
}
