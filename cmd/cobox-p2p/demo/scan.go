package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
)

// What is looked for in a folder that must not hold plaintext.
const (
	maxSamples  = 64 // of content, and as many of names
	sampleSize  = 32 // bytes, the longest
	sampleLeast = 8  // bytes, the shortest: less turns up in ciphertext by chance
	scanBuffer  = 1 << 20
)

// samples gathers pieces of plaintext at random, while it passes by.
type samples struct {
	rand     *rand.Rand
	contents [][]byte
	names    [][]byte
	seen     [2]int // contents and names that could have been taken
}

func newSamples() *samples {
	return &samples{rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
}

// content may take a window of b.
func (s *samples) content(b []byte) {
	size := min(sampleSize, len(b))
	if size < sampleLeast {
		return
	}
	at := s.rand.IntN(len(b) - size + 1)
	if window := b[at : at+size]; telling(window) {
		s.contents = s.take(s.contents, window, &s.seen[0])
	}
}

// name may take the last part of a path.
func (s *samples) name(full string) {
	base := []byte(path.Base(full))
	if base = base[:min(len(base), sampleSize)]; len(base) >= sampleLeast {
		s.names = s.take(s.names, base, &s.seen[1])
	}
}

// take keeps each of the samples seen with the same chance.
func (s *samples) take(all [][]byte, sample []byte, seen *int) [][]byte {
	*seen++
	if len(all) < maxSamples {
		return append(all, append([]byte(nil), sample...))
	}
	if i := s.rand.IntN(*seen); i < maxSamples {
		all[i] = append([]byte(nil), sample...)
	}
	return all
}

// telling says whether a window is varied enough to be found only where the
// input is: runs of zeros are everywhere.
func telling(window []byte) bool {
	var has [256]bool
	distinct := 0
	for _, b := range window {
		if !has[b] {
			has[b] = true
			distinct++
		}
	}
	return distinct*8 >= len(window)*3
}

// all returns every sample.
func (s *samples) all() [][]byte { return append(append([][]byte{}, s.contents...), s.names...) }

// finder looks for many samples in one pass: a table of the hashes of their first
// four bytes tells where a closer look is due.
type finder struct {
	samples [][]byte
	may     [1 << 16]bool
	byHead  map[uint32][]int
}

func newFinder(all [][]byte) *finder {
	f := &finder{samples: all, byHead: map[uint32][]int{}}
	for i, s := range all {
		head := binary.LittleEndian.Uint32(s)
		f.may[slot(head)] = true
		f.byHead[head] = append(f.byHead[head], i)
	}
	return f
}

func slot(head uint32) uint16 { return uint16(head * 0x9E3779B1 >> 16) }

// in marks the samples that begin in b.
func (f *finder) in(b []byte, found map[int]string, file string) {
	for at := 0; at+sampleLeast <= len(b); at++ {
		head := binary.LittleEndian.Uint32(b[at:])
		if !f.may[slot(head)] {
			continue
		}
		for _, i := range f.byHead[head] {
			if s := f.samples[i]; len(b)-at >= len(s) && string(b[at:at+len(s)]) == string(s) {
				found[i] = file
			}
		}
	}
}

// scan reads every file below folder and returns which samples are in one, with
// its name, and how many bytes were read. Files that vanish meanwhile are passed
// over.
func (f *finder) scan(ctx context.Context, folder string) (found map[int]string, bytes int64, err error) {
	found = map[int]string{}
	err = filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		n, err := f.scanFile(ctx, name, found)
		bytes += n
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return found, bytes, err
}

func (f *finder) scanFile(ctx context.Context, name string, found map[int]string) (int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	buf := make([]byte, scanBuffer)
	kept, total := 0, int64(0) // bytes of buf that were looked at, for samples across two reads
	for ctx.Err() == nil {
		n, err := io.ReadFull(file, buf[kept:])
		total += int64(n)
		f.in(buf[:kept+n], found, name)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return total, err
		}
		kept = copy(buf, buf[len(buf)-sampleSize:])
	}
	return total, ctx.Err()
}
