package multifeed

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// storeRecords makes a store that knows count feeds of a space, by keys that
// nobody can sign with.
func storeRecords(b *testing.B, dir string, address Address, count int) *storage.Store {
	b.Helper()
	st, err := storage.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	prefix := (&Space{address: address}).recordPrefix()
	batch := &hypercore.Batch{}
	for n := range count {
		r := feedRecord{key: sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))), number: uint64(n)}
		batch.Records = append(batch.Records, hypercore.Record{Key: append(prefix[:len(prefix):len(prefix)], r.key[:]...), Value: r.encode()})
		if len(batch.Records) == 4096 || n == count-1 {
			if err := st.Commit(batch); err != nil {
				b.Fatal(err)
			}
			batch.Records = batch.Records[:0]
		}
	}
	return st
}

// BenchmarkOpenSpace opens a space of many feeds in an open store.
func BenchmarkOpenSpace(b *testing.B) {
	for _, count := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			address := NewOpenAddress()
			st := storeRecords(b, b.TempDir(), address, count)
			defer st.Close()
			store := corestore.New(st, corestore.MasterKey{1})
			defer store.Close()
			b.ReportAllocs()
			for b.Loop() {
				s, err := Open(store, address, WithMaxFeeds(count))
				if err != nil {
					b.Fatal(err)
				}
				if s.Len() != count {
					b.Fatalf("%d feeds, want %d", s.Len(), count)
				}
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkAddAll takes feeds into a space on disk, 10,000 at once.
func BenchmarkAddAll(b *testing.B) {
	const count = 10_000
	secret := NewSecret()
	keys := keysOf(count)
	admissions := make([]Admission, count)
	onAllCores(count, func(i int) { admissions[i] = secret.Admit(keys[i]) })
	for _, address := range []Address{NewOpenAddress(), secret.Address()} {
		b.Run(address.Kind.String(), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				st, err := storage.Open(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				store := corestore.New(st, corestore.MasterKey{1})
				s, err := Open(store, address)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				n, err := s.AddAll(b.Context(), func(yield func(hypercore.Key, Admission) bool) {
					for i := 0; i < count && yield(keys[i], admissions[i]); i++ {
					}
				})
				b.StopTimer()
				if n != count || err != nil {
					b.Fatalf("AddAll = %d, %v, want %d", n, err, count)
				}
				s.Close()
				store.Close()
				st.Close()
				b.StartTimer()
			}
		})
	}
}
