package multifeed

import (
	"context"
	"net"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

type replicateCase struct {
	name         string
	size, blocks int
}

// BenchmarkReplicate moves a feed from one store on disk to another through a
// TCP connection on loopback, durable on the far side, block by block.
func BenchmarkReplicate(b *testing.B) {
	for _, c := range []replicateCase{{"64KiB", 64 << 10, 1024}, {"1KiB", 1 << 10, 4 << 10}, {"100B", 100, 4000}} {
		c.run(b, nil)
	}
}

// BenchmarkReplicateRanges is BenchmarkReplicate in ranges.
func BenchmarkReplicateRanges(b *testing.B) {
	for _, c := range []replicateCase{{"64KiB", 64 << 10, 4 << 10}, {"1KiB", 1 << 10, 128 << 10}, {"100B", 100, 200_000}} {
		c.run(b, Features())
	}
}

func (c replicateCase) run(b *testing.B, features []string) {
	b.Run(c.name, func(b *testing.B) {
		b.SetBytes(int64(c.size * c.blocks))
		for range b.N {
			b.StopTimer()
			replicateOnce(b, c.size, c.blocks, features)
			b.StartTimer()
		}
		b.StopTimer()
		b.ReportMetric(float64(c.blocks)*float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
	})
}

// replicateOnce leaves the timer stopped, as it found it.
func replicateOnce(b *testing.B, size, blocks int, features []string) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	secret := NewSecret()
	var spaces [2]*Space
	for i := range spaces {
		st, err := storage.Open(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		defer st.Close()
		if spaces[i], err = Open(corestore.New(st, corestore.MasterKey{byte(i)}), secret.Address(), WithSecret(secret)); err != nil {
			b.Fatal(err)
		}
		defer spaces[i].Close()
	}
	w, err := spaces[0].Writer("log")
	if err != nil {
		b.Fatal(err)
	}
	batch := make([][]byte, min(blocks, 1024))
	for i := range batch {
		batch[i] = make([]byte, size)
	}
	for n := 0; n < blocks; n += len(batch) {
		if _, err := w.Append(ctx, batch[:min(len(batch), blocks-n)]...); err != nil {
			b.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	defer func() { <-done }()
	defer cancel()
	b.StartTimer()
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if o, err := Respond(ctx, c, Party{PeerID: []byte("b"), Features: features}, []byte("a"), func([32]byte) (Address, bool) { return secret.Address(), true }); err == nil {
			spaces[0].Replicate(ctx, o)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	o, err := Initiate(ctx, c, Party{PeerID: []byte("a"), Features: features}, []byte("b"), secret.Address())
	if err != nil {
		b.Fatal(err)
	}
	go spaces[1].Replicate(ctx, o)
	for f := range spaces[1].Watch(ctx) {
		awaitDurable(b, f.Feed, uint64(blocks))
		break
	}
	b.StopTimer()
}

func awaitDurable(b *testing.B, f *hypercore.Feed, blocks uint64) {
	for {
		changed := f.Changed()
		if f.Durable() == blocks {
			return
		}
		select {
		case <-changed:
		case <-b.Context().Done():
			b.Fatal("the transfer did not end")
		}
	}
}

// BenchmarkOpen opens a space whose feeds are on a disk.
func BenchmarkOpen(b *testing.B) {
	const feeds = 10_000
	st, err := storage.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	address := NewOpenAddress()
	space, err := Open(corestore.New(st, corestore.MasterKey{}), address, WithMaxFeeds(feeds))
	if err != nil {
		b.Fatal(err)
	}
	for i := range feeds {
		pair := hypercore.NewKeyPair([hypercore.SeedSize]byte{byte(i), byte(i >> 8)})
		if _, err := space.Add(pair.Public, Admission{}); err != nil {
			b.Fatal(err)
		}
	}
	space.Close()
	b.ReportAllocs()
	for b.Loop() {
		store := corestore.New(st, corestore.MasterKey{})
		space, err := Open(store, address, WithMaxFeeds(feeds))
		if err != nil {
			b.Fatal(err)
		}
		if n := space.Len(); n != feeds {
			b.Fatalf("%d feeds, want %d", n, feeds)
		}
		space.Close()
		store.Close()
	}
	b.ReportMetric(float64(feeds)*float64(b.N)/b.Elapsed().Seconds(), "feeds/s")
}
