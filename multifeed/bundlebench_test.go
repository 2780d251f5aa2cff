package multifeed

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// BenchmarkBundle writes and reads bundles between stores in memory.
func BenchmarkBundle(b *testing.B) {
	for _, c := range []struct {
		name         string
		size, blocks int
	}{{"64KiB", 64 << 10, 1024}, {"1KiB", 1 << 10, 16 << 10}} {
		secret := NewSecret()
		w := benchSpace(b, secret)
		log, err := w.Writer("log")
		if err != nil {
			b.Fatal(err)
		}
		batch := make([][]byte, 1024)
		for i := range batch {
			batch[i] = make([]byte, c.size)
		}
		for range c.blocks / len(batch) {
			if _, err := log.Append(b.Context(), batch...); err != nil {
				b.Fatal(err)
			}
		}
		var file bytes.Buffer
		b.Run("write/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(c.size * c.blocks))
			for b.Loop() {
				file.Reset()
				if _, err := w.WriteBundle(context.Background(), &file); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("read/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(c.size * c.blocks))
			for b.Loop() {
				b.StopTimer()
				r := benchSpace(b, secret)
				b.StartTimer()
				if _, err := r.ReadBundle(context.Background(), bytes.NewReader(file.Bytes())); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("open/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(c.size * c.blocks))
			for b.Loop() {
				sealed, err := newSealedReader(bytes.NewReader(file.Bytes()), secret.Address(), bundleMagic)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchSpace(b *testing.B, secret Secret) *Space {
	s, err := Open(corestore.New(storage.NewMemory(), corestore.MasterKey{1}), secret.Address(), WithSecret(secret))
	if err != nil {
		b.Fatal(err)
	}
	return s
}
