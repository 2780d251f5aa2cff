package wire

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// benchData is a block with the proof of a feed of some 4,096 blocks.
func benchData(size int) *hypercore.Data {
	return &hypercore.Data{Index: 1000, Value: make([]byte, size), Nodes: make([]merkle.Node, 12), Signature: make([]byte, 64)}
}

func BenchmarkAppendData(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d := benchData(size)
			var buf []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = AppendFrame(buf[:0], 1, d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadData(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			frame, err := AppendFrame(nil, 1, benchData(size))
			if err != nil {
				b.Fatal(err)
			}
			src := bytes.NewReader(nil)
			r := NewReader(repeat{src, bytes.Repeat(frame, 1+(256<<10)/len(frame))}, MaxFrame)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				f, err := r.ReadFrame()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Decode(f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// repeat is an endless stream of the same bytes.
type repeat struct {
	r *bytes.Reader
	b []byte
}

func (r repeat) Read(p []byte) (int, error) {
	if r.r.Len() == 0 {
		r.r.Reset(r.b)
	}
	return r.r.Read(p)
}
