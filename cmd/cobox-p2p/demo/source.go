package demo

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// copyBuffer is how many bytes of a file are read at once.
const copyBuffer = 256 << 10

// Skipped is something of the input that could not be stored as it is.
type Skipped struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// source is the input of the demo: a file or a folder.
type source struct {
	root  *os.Root
	only  string      // the one file, "" for the whole folder
	avoid os.FileInfo // a folder that is left out: the demo's own

	items   []Item
	skipped []Skipped
	samples *samples
}

// openSource opens a file or folder; a link to one is followed.
func openSource(name string, avoid os.FileInfo) (*source, error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil, err
	}
	s := &source{avoid: avoid, samples: newSamples()}
	switch {
	case info.IsDir():
		s.root, err = os.OpenRoot(real)
	case info.Mode().IsRegular():
		s.only = filepath.Base(real)
		s.root, err = os.OpenRoot(filepath.Dir(real))
	default:
		err = fmt.Errorf("%s is neither a file nor a folder", name)
	}
	return s, err
}

func (s *source) close() error { return s.root.Close() }

// visit is called for everything below the root but what was skipped.
type visit func(name string, info os.FileInfo) error

// walk visits the input, folders before what is in them, in the order of names.
// What can't be read is passed to skip.
func (s *source) walk(ctx context.Context, f visit, skip func(name, reason string)) error {
	if s.only == "" {
		return s.walkFolder(ctx, ".", f, skip)
	}
	info, err := s.root.Lstat(s.only)
	if err != nil {
		return err
	}
	return f(s.only, info)
}

func (s *source) walkFolder(ctx context.Context, folder string, f visit, skip func(name, reason string)) error {
	names, err := s.names(folder)
	if err != nil {
		skip(folder, "could not be read: "+reason(err))
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		full := path.Join(folder, name)
		info, err := s.root.Lstat(full)
		switch {
		case err != nil:
			skip(full, "could not be read: "+reason(err))
			continue
		case os.SameFile(info, s.avoid):
			skip(full, "is the demo's own folder")
			continue
		}
		if err := f(full, info); err != nil {
			return err
		}
		if info.IsDir() {
			if err := s.walkFolder(ctx, full, f, skip); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *source) names(folder string) ([]string, error) {
	d, err := s.root.Open(folder)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// reason returns an error without the path that is named beside it.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// measure returns how many files and bytes there are.
func (s *source) measure(ctx context.Context) (files int, bytes int64, err error) {
	err = s.walk(ctx, func(_ string, info os.FileInfo) error {
		if info.Mode().IsRegular() {
			files++
			bytes += info.Size()
		}
		return nil
	}, func(string, string) {})
	return files, bytes, err
}

// writeTar writes the input as a tar stream and notes what went into it.
// progress is told of bytes of content.
func (s *source) writeTar(ctx context.Context, w io.Writer, progress func(int)) error {
	t := tar.NewWriter(w)
	buf := make([]byte, copyBuffer)
	err := s.walk(ctx, func(name string, info os.FileInfo) error {
		switch mode := info.Mode(); {
		case mode.IsRegular():
			return s.writeFile(ctx, t, name, info, buf, progress)
		case mode.IsDir():
			s.samples.name(name)
			s.items = append(s.items, Item{Path: name, Type: 'd', Mode: mode.Perm()})
			return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(mode.Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX})
		case mode&fs.ModeSymlink != 0:
			return s.writeLink(t, name, info)
		default:
			s.skip(name, "is a "+kindOf(mode)+", which is not stored")
			return nil
		}
	}, s.skip)
	return cmp.Or(err, t.Close())
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

func (s *source) skip(name, reason string) { s.skipped = append(s.skipped, Skipped{name, reason}) }

func (s *source) writeLink(t *tar.Writer, name string, info os.FileInfo) error {
	target, err := s.root.Readlink(name)
	if err != nil {
		s.skip(name, "could not be read: "+reason(err))
		return nil
	}
	s.samples.name(name)
	s.items = append(s.items, Item{Path: name, Type: 'l', Size: int64(len(target)), Hash: sha256.Sum256([]byte(target))})
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: info.ModTime(), Format: tar.FormatPAX})
}

// writeFile stores a file with the size that it had when it was opened. A file
// that changes meanwhile is stored as it was read, and named.
func (s *source) writeFile(ctx context.Context, t *tar.Writer, name string, seen os.FileInfo, buf []byte, progress func(int)) error {
	f, err := s.root.Open(name)
	if err != nil {
		s.skip(name, "could not be read: "+reason(err))
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !os.SameFile(seen, info) || !info.Mode().IsRegular() {
		s.skip(name, "was replaced while the folder was read")
		return nil
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	s.samples.name(name)
	hash, err := s.copyContent(ctx, t, f, h, buf, progress)
	if err != nil {
		return err
	}
	if after, err := f.Stat(); err == nil && (after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime())) {
		s.skip(name, "changed while it was read: it is stored as it was read")
	}
	s.items = append(s.items, Item{name, 'f', info.Mode().Perm(), info.Size(), hash})
	return nil
}

// copyContent writes exactly as many bytes as the header says, zeros where the
// file has no more, and returns their hash.
func (s *source) copyContent(ctx context.Context, t *tar.Writer, f *os.File, h *tar.Header, buf []byte, progress func(int)) (sum [32]byte, err error) {
	hash := sha256.New()
	short := false
	for left := h.Size; left > 0; {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		n := int(min(int64(len(buf)), left))
		if !short {
			read, err := io.ReadFull(f, buf[:n])
			if err != nil {
				short = true
				s.skip(h.Name, "became shorter or unreadable while it was read: the rest is stored as zeros")
				clear(buf[read:n])
			}
		} else {
			clear(buf[:n])
		}
		hash.Write(buf[:n])
		s.samples.content(buf[:n])
		if _, err := t.Write(buf[:n]); err != nil {
			return sum, err
		}
		left -= int64(n)
		progress(n)
	}
	return [32]byte(hash.Sum(nil)), nil
}
