package multifeed

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// The header of a sealed file. See interop/spec/bundle.md, "File".
const (
	bundleMagic   = "cobox/bundle" // as long as needMagic
	needMagic     = "cobox/needed"
	bundleVersion = 1  // byte behind the magic
	bundleSalt    = 32 // random bytes behind the version
	bundleCheck   = 16 // bytes behind the salt that only who knows the address can make
	bundlePrefix  = len(bundleMagic) + 1 + bundleSalt
	// bundleChunk is how many bytes each chunk but the last seals.
	bundleChunk = 64 << 10
)

// bundleKeys returns the AEAD of the chunks behind a header that begins with
// prefix, and its check.
func (a Address) bundleKeys(prefix []byte) (cipher.AEAD, []byte) {
	key := hypercore.KeyedHash(a.Key[:], []byte("cobox/1 bundle"), prefix)
	check := hypercore.KeyedHash(a.Key[:], []byte("cobox/1 bundle check"), prefix)
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		panic("multifeed: " + err.Error())
	}
	return aead, check[:bundleCheck]
}

// chunkNonce is u88 number of the chunk || 1 for the last one, else 0. No two
// chunks of a key have the same, and one that was moved, repeated or cut off is
// noticed.
func chunkNonce(number uint64, last bool) []byte {
	var n [chacha20poly1305.NonceSize]byte
	binary.BigEndian.PutUint64(n[3:11], number)
	if last {
		n[11] = 1
	}
	return n[:]
}

// sealedWriter seals what is written to it, in chunks. Close must follow the last
// Write.
type sealedWriter struct {
	w      io.Writer
	aead   cipher.AEAD
	number uint64 // of the next chunk
	plain  []byte // of it
	sealed []byte // of the one before; kept for its memory
}

// newSealedWriter writes the header, with a random salt.
func newSealedWriter(w io.Writer, address Address, magic string) (*sealedWriter, error) {
	var salt [bundleSalt]byte
	rand.Read(salt[:])
	return sealedWriterWith(w, address, magic, salt)
}

func sealedWriterWith(w io.Writer, address Address, magic string, salt [bundleSalt]byte) (*sealedWriter, error) {
	header := append(append([]byte(magic), bundleVersion), salt[:]...)
	aead, check := address.bundleKeys(header)
	if _, err := w.Write(append(header, check...)); err != nil {
		return nil, err
	}
	return &sealedWriter{w: w, aead: aead}, nil
}

// Write implements io.Writer. A full chunk waits for the next byte, which shows
// that it isn't the last.
func (s *sealedWriter) Write(b []byte) (n int, err error) {
	for n < len(b) {
		if len(s.plain) == bundleChunk {
			if err := s.emit(false); err != nil {
				return n, err
			}
		}
		room := min(len(b)-n, bundleChunk-len(s.plain))
		s.plain = append(s.plain, b[n:n+room]...)
		n += room
	}
	return n, nil
}

// Close writes the last chunk. It doesn't close what lies below.
func (s *sealedWriter) Close() error { return s.emit(true) }

func (s *sealedWriter) emit(last bool) error {
	s.sealed = s.aead.Seal(s.sealed[:0], chunkNonce(s.number, last), s.plain, nil)
	s.plain = s.plain[:0]
	s.number++
	_, err := s.w.Write(s.sealed)
	return err
}

// sealedReader opens what a sealedWriter wrote. It returns io.EOF only behind the
// last chunk, and an error that wraps ErrBundleBroken behind the last good one.
type sealedReader struct {
	r      *bufio.Reader
	aead   cipher.AEAD
	number uint64 // of the next chunk
	sealed []byte
	buf    []byte // memory of plain
	plain  []byte // of the chunk before, not read yet
	err    error  // behind plain
}

// newSealedReader reads the header. It returns ErrNotBundle, ErrNotForSpace,
// ErrBundleBroken, or what r said.
func newSealedReader(r io.Reader, address Address, magic string) (*sealedReader, error) {
	s := &sealedReader{r: bufio.NewReader(r)}
	header := make([]byte, bundlePrefix+bundleCheck)
	n, err := io.ReadFull(s.r, header)
	cut := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case err != nil && !cut:
		return nil, err
	case n <= len(magic) || !bytes.HasPrefix(header, []byte(magic)):
		return nil, ErrNotBundle
	case header[len(magic)] != bundleVersion:
		return nil, fmt.Errorf("%w: version %d", ErrNotBundle, header[len(magic)])
	case cut:
		return nil, fmt.Errorf("%w: it ends in its header", ErrBundleBroken)
	}
	aead, check := address.bundleKeys(header[:bundlePrefix])
	if subtle.ConstantTimeCompare(check, header[bundlePrefix:]) != 1 {
		return nil, ErrNotForSpace
	}
	s.aead = aead
	s.sealed = make([]byte, bundleChunk+chacha20poly1305.Overhead)
	return s, nil
}

// Read implements io.Reader.
func (s *sealedReader) Read(b []byte) (int, error) {
	for len(s.plain) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.next()
	}
	n := copy(b, s.plain)
	s.plain = s.plain[n:]
	return n, nil
}

// next opens one chunk into plain, and sets err when none comes behind it.
func (s *sealedReader) next() {
	n, err := io.ReadFull(s.r, s.sealed)
	last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !last {
		s.err = err
		return
	}
	if !last {
		if _, err = s.r.Peek(1); err != nil && !errors.Is(err, io.EOF) {
			s.err = err
			return
		}
		last = err != nil
	}
	chunk := s.number
	s.number++
	if last {
		s.err = io.EOF
	}
	if s.open(s.sealed[:n], chunk, last) {
		if last && len(s.plain) == 0 && chunk > 0 {
			s.err = fmt.Errorf("%w: an empty chunk %d", ErrBundleBroken, chunk)
		}
		return
	}
	at := int64(bundlePrefix+bundleCheck) + int64(chunk)*int64(len(s.sealed))
	s.err = fmt.Errorf("%w: in chunk %d, from byte %d on", ErrBundleBroken, chunk, at)
	if last && n == len(s.sealed) && s.open(s.sealed, chunk, false) {
		s.err = fmt.Errorf("%w: it ends at byte %d, behind chunk %d", ErrBundleBroken, at+int64(n), chunk)
	}
}

// open sets plain to the content of a chunk, or to nothing.
func (s *sealedReader) open(sealed []byte, number uint64, last bool) bool {
	plain, err := s.aead.Open(s.buf[:0], chunkNonce(number, last), sealed, nil)
	s.plain = plain
	return err == nil
}
