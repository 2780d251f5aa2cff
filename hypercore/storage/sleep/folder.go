package sleep

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// ErrExists: there is a folder already, and it stays as it is.
var ErrExists = errors.New("sleep: exists already")

// folder is a folder that appears under its name when all in it is on the disk.
type folder struct {
	dir  string // its name in the end
	temp string // its name until then
}

// newFolder makes a folder under another name beside dir.
func newFolder(dir string) (*folder, error) {
	if err := absent(dir); err != nil {
		return nil, err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(parent, ".new-*")
	if err != nil {
		return nil, err
	}
	return &folder{dir: dir, temp: temp}, nil
}

func absent(path string) error {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: %s", ErrExists, path)
	}
	return err
}

// commit gives the folder its name.
func (d *folder) commit() error {
	if err := syncDir(d.temp); err != nil {
		return err
	}
	if err := absent(d.dir); err != nil {
		return err
	}
	if err := os.Rename(d.temp, d.dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(d.dir))
}

// discard removes what was not committed.
func (d *folder) discard() { os.RemoveAll(d.temp) }

// syncDir makes the names in a folder durable, where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// output writes one file from its beginning to its end and may leave holes.
type output struct {
	f  *os.File
	w  *bufio.Writer
	at int64 // bytes written or skipped so far
}

const (
	outputBuffer = 256 << 10
	// maxZeros is the largest hole that is written as zeros instead of left out.
	maxZeros = 4 << 10
)

var zeros [maxZeros]byte

func (d *folder) create(name string) (*output, error) {
	f, err := os.OpenFile(filepath.Join(d.temp, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &output{f: f, w: bufio.NewWriterSize(f, outputBuffer)}, nil
}

// writeAt writes b at offset, which is not before the end of what was written.
func (o *output) writeAt(b []byte, offset int64) error {
	if hole := offset - o.at; hole > 0 && hole <= maxZeros {
		if _, err := o.w.Write(zeros[:hole]); err != nil {
			return err
		}
	} else if hole != 0 {
		if err := o.w.Flush(); err != nil {
			return err
		}
		if _, err := o.f.Seek(offset, 0); err != nil {
			return err
		}
	}
	o.at = offset + int64(len(b))
	_, err := o.w.Write(b)
	return err
}

// finish makes the file durable and closes it.
func (o *output) finish() error {
	err := o.w.Flush()
	if err == nil {
		err = o.f.Sync()
	}
	return errors.Join(err, o.f.Close())
}

// write makes a whole file.
func (d *folder) write(name string, b []byte) error {
	o, err := d.create(name)
	if err != nil {
		return err
	}
	if err := o.writeAt(b, 0); err != nil {
		o.f.Close()
		return err
	}
	return o.finish()
}
