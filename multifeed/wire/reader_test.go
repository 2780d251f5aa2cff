package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// rawFrame returns a frame of any header and body.
func rawFrame(header uint64, body []byte) []byte {
	h := binary.AppendUvarint(nil, header)
	out := binary.AppendUvarint(nil, uint64(len(h)+len(body)))
	return append(append(out, h...), body...)
}

// wantFormat fails unless err is a *FormatError of that type and field.
func wantFormat(t *testing.T, err error, typ, field string) {
	t.Helper()
	var f *FormatError
	if !errors.As(err, &f) || f.Type != typ || f.Field != field {
		t.Errorf("error = %v, want a FormatError of %s, %s", err, typ, field)
	}
}

func read(b []byte) (Frame, error) {
	return NewReader(bytes.NewReader(b), MaxFrame).ReadFrame()
}

func TestReaderLimits(t *testing.T) {
	small := func(limit int, length int) error {
		_, err := NewReader(bytes.NewReader(rawFrame(0x1f, make([]byte, length-1))), limit).ReadFrame()
		return err
	}
	for _, limit := range []int{10, smallFrame + 1, firstGrow + 1, firstGrow*growth + 1} {
		if err := small(limit, limit); err != nil {
			t.Errorf("frame of the limit %d: %v", limit, err)
		}
		wantFormat(t, small(limit, limit+1), "frame", "length")
	}
	if f, err := read(rawFrame(MaxChannel<<4|3, nil)); err != nil || f.Channel != MaxChannel || f.Type != 3 {
		t.Errorf("largest channel: %+v, %v", f, err)
	}
	_, err := read(rawFrame((MaxChannel+1)<<4, nil))
	wantFormat(t, err, "frame", "header")
}

func TestReaderVarints(t *testing.T) {
	// The original takes numbers that are longer than they need to be.
	f, err := read([]byte{0x89, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x93, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 7})
	if err != nil || f.Channel != 1 || f.Type != 3 || !bytes.Equal(f.Body, []byte{7}) {
		t.Errorf("padded varints of 8 bytes: %+v, %v", f, err)
	}
	_, err = read([]byte{0x89, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x13})
	wantFormat(t, err, "frame", "length")
	_, err = read(append([]byte{0x0a}, 0x93, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 7))
	wantFormat(t, err, "frame", "header")
	// A header that is longer than its frame.
	_, err = read([]byte{1, 0x93, 0, 0})
	wantFormat(t, err, "frame", "header")
}

func TestReaderEnds(t *testing.T) {
	b := rawFrame(0x1f, make([]byte, smallFrame+1))
	for n := range len(b) {
		_, err := read(b[:n])
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if err != want {
			t.Fatalf("%d of %d bytes: %v, want %v", n, len(b), err, want)
		}
	}
	r := NewReader(bytes.NewReader([]byte{1}), MaxFrame)
	for range 2 {
		if _, err := r.ReadFrame(); err != io.ErrUnexpectedEOF {
			t.Errorf("error = %v, want io.ErrUnexpectedEOF each time", err)
		}
	}
	boom := errors.New("boom")
	r = NewReader(io.MultiReader(bytes.NewReader([]byte{5, 0x1f}), iotest.ErrReader(boom)), MaxFrame)
	if _, err := r.ReadFrame(); err != boom {
		t.Errorf("error = %v, want that of the stream", err)
	}
	if _, err := NewReader(nothing{}, MaxFrame).ReadFrame(); err != io.ErrNoProgress {
		t.Errorf("error = %v, want io.ErrNoProgress", err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// randomFrames returns frames of all sizes in one stream, and their bodies.
func randomFrames(seed uint64) (stream []byte, bodies [][]byte) {
	rnd := rand.New(rand.NewPCG(seed, seed))
	for range 200 {
		size := rnd.IntN(300)
		switch rnd.IntN(40) {
		case 0:
			size = rnd.IntN(2 * firstGrow)
		case 1:
			size = rnd.IntN(2 * maxChunk)
		case 2:
			size = smallFrame - 2 + rnd.IntN(4)
		}
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(rnd.Uint32())
		}
		bodies = append(bodies, body)
		stream = append(stream, rawFrame(0x25, body)...)
		if rnd.IntN(4) == 0 {
			stream = AppendKeepAlive(stream)
		}
	}
	return stream, bodies
}

// Bodies stay what they were while the reader goes on, however the bytes come.
func TestReaderOwnership(t *testing.T) {
	const seed = 7
	stream, want := randomFrames(seed)
	sources := map[string]io.Reader{
		"whole":  bytes.NewReader(stream),
		"halves": iotest.HalfReader(bytes.NewReader(stream)),
		"bytes":  iotest.OneByteReader(bytes.NewReader(stream)),
		"eof":    iotest.DataErrReader(bytes.NewReader(stream)),
	}
	for name, src := range sources {
		r := NewReader(src, MaxFrame)
		var got [][]byte
		for {
			f, err := r.ReadFrame()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, name, err)
			}
			if !f.KeepAlive {
				got = append(got, f.Body)
				_ = append(f.Body, 0xff) // must not reach the next frame
			}
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d, %s: %d frames, want %d", seed, name, len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("seed %d, %s: frame %d of %d bytes changed", seed, name, i, len(want[i]))
			}
		}
	}
}

// allocated returns how many bytes run allocates.
func allocated(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A frame that is announced and doesn't come costs no more than firstGrow.
func TestReaderMemory(t *testing.T) {
	announce := binary.AppendUvarint(nil, MaxFrame)
	announce = append(announce, 0x19)
	got := allocated(func() {
		if _, err := read(announce); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	})
	if limit := uint64(firstGrow + 2*maxChunk); got > limit {
		t.Errorf("8 MiB announced cost %d bytes, want at most %d", got, limit)
	}
}

// Keep-alives and large frames make no garbage of their own chunk.
func TestReaderReusesChunk(t *testing.T) {
	stream := bytes.NewReader(make([]byte, 60_000)) // keep-alives
	r := NewReader(stream, MaxFrame)
	allocs := testing.AllocsPerRun(1, func() {
		for range 20_000 {
			if f, err := r.ReadFrame(); err != nil || !f.KeepAlive {
				t.Fatal(f, err)
			}
		}
	})
	if allocs > 2 {
		t.Errorf("%v allocations for keep-alives, want none", allocs)
	}
}

func TestControlThenFrames(t *testing.T) {
	stream, err := AppendControl(nil, bytes.Repeat([]byte{1}, MaxControl))
	if err != nil {
		t.Fatal(err)
	}
	if stream, err = AppendControl(stream, nil); err != nil {
		t.Fatal(err)
	}
	if stream, err = AppendFrame(stream, 3, &hypercore.Want{Start: 8192, Length: 8192}); err != nil {
		t.Fatal(err)
	}
	r := NewReader(bytes.NewReader(stream), MaxFrame)
	if b, err := r.ReadControl(); err != nil || len(b) != MaxControl {
		t.Fatalf("largest control frame: %d bytes, %v", len(b), err)
	}
	if b, err := r.ReadControl(); err != nil || len(b) != 0 {
		t.Fatalf("empty control frame: %d bytes, %v", len(b), err)
	}
	f, err := r.ReadFrame()
	if err != nil || f.Channel != 3 || f.Type != TypeWant {
		t.Fatalf("frame behind them: %+v, %v", f, err)
	}
}

func TestControlLimits(t *testing.T) {
	if _, err := AppendControl(nil, make([]byte, MaxControl+1)); err == nil {
		t.Error("control frame over the limit was encoded")
	}
	over := append(binary.AppendUvarint(nil, MaxControl+1), make([]byte, MaxControl+1)...)
	_, err := NewReader(bytes.NewReader(over), MaxFrame).ReadControl()
	wantFormat(t, err, "control", "length")
	full, _ := AppendControl(nil, make([]byte, 100))
	for n := range full {
		_, err := NewReader(bytes.NewReader(full[:n]), MaxFrame).ReadControl()
		if n == 0 && err != io.EOF || n > 0 && err != io.ErrUnexpectedEOF {
			t.Errorf("%d of %d bytes: %v", n, len(full), err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, v := range readVectors(f).Frames {
		f.Add(unhex(f, v.Frame))
	}
	f.Add(rawFrame(0x19, make([]byte, 3000)))
	f.Add([]byte{0xff, 0xff, 0xff, 0x03, 0x19})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b), 1<<20)
		total := 0
		for {
			f, err := r.ReadFrame()
			if err != nil {
				var format *FormatError
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.As(err, &format) {
					t.Fatalf("error of no known kind: %v", err)
				}
				break
			}
			total += 1 + len(f.Body)
		}
		if total > len(b) {
			t.Fatalf("%d bytes of frames out of %d", total, len(b))
		}
		NewReader(bytes.NewReader(b), 1<<20).ReadControl()
	})
}
