package storage_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// recordBatch is a small batch that notes its number when it is durable.
func recordBatch(n int, urgent bool, note func(n int, err error)) *hypercore.Batch {
	return &hypercore.Batch{
		Records: []hypercore.Record{{Key: []byte{1, byte(n)}, Value: []byte{byte(n)}}},
		Urgent:  urgent, Durable: func(err error) { note(n, err) },
	}
}

// TestSyncDelay checks when batches become durable: after SyncDelay, or with the
// next urgent one, which takes the earlier ones along.
func TestSyncDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := storage.Open("store", storage.WithFS(vfs.NewMem()))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var mu sync.Mutex // guards got
		var got []int
		note := func(n int, err error) {
			if err != nil {
				t.Errorf("Durable of batch %d = %v", n, err)
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, n)
		}
		expect := func(when string, want ...int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s: durable %v, want %v", when, got, want)
			}
		}
		commit := func(n int, urgent bool) {
			t.Helper()
			if err := s.Commit(recordBatch(n, urgent, note)); err != nil {
				t.Fatal(err)
			}
		}
		commit(1, false)
		synctest.Wait()
		time.Sleep(storage.SyncDelay / 2)
		commit(2, false)
		time.Sleep(storage.SyncDelay/2 - time.Millisecond)
		expect("before the delay")
		time.Sleep(2 * time.Millisecond)
		expect("after the delay", 1, 2)
		commit(3, false)
		commit(4, true)
		expect("after an urgent batch", 1, 2, 3, 4)
		commit(5, false)
		big := recordBatch(6, false, note)
		for range 4 {
			big.Records = append(big.Records, hypercore.Record{Key: []byte{2}, Value: make([]byte, storage.SyncBytes/4)})
		}
		if err := s.Commit(big); err != nil {
			t.Fatal(err)
		}
		expect("after many bytes", 1, 2, 3, 4, 5, 6)
		commit(7, false)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		expect("after Close", 1, 2, 3, 4, 5, 6, 7)
	})
}

func TestMemoryHold(t *testing.T) {
	m := storage.NewMemory()
	var got []string
	note := func(n int, err error) { got = append(got, fmt.Sprint(n, err)) }
	expect := func(want ...string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("Durable calls %q, want %q", got, want)
		}
	}
	commit := func(n int) {
		t.Helper()
		if err := m.Commit(recordBatch(n, true, note)); err != nil {
			t.Fatal(err)
		}
	}
	commit(1)
	expect("1 <nil>")
	m.HoldSync()
	commit(2)
	commit(3)
	expect("1 <nil>")
	if v, err := m.Record([]byte{1, 3}); err != nil || v[0] != 3 {
		t.Fatalf("Record of a held batch = %v, %v", v, err)
	}
	m.ReleaseSync()
	expect("1 <nil>", "2 <nil>", "3 <nil>")
	m.HoldSync()
	commit(4)
	cause := errors.New("disk on fire")
	m.FailSync(cause)
	failed := fmt.Errorf("%w: %w", hypercore.ErrStorageFailed, cause)
	expect("1 <nil>", "2 <nil>", "3 <nil>", "4 "+failed.Error())
	if err := m.Commit(recordBatch(5, true, note)); !errors.Is(err, hypercore.ErrStorageFailed) || !errors.Is(err, cause) {
		t.Fatalf("Commit after FailSync = %v", err)
	}
	if v, err := m.Record([]byte{1, 4}); err != nil || v[0] != 4 {
		t.Fatalf("Record after FailSync = %v, %v", v, err)
	}

	m = storage.NewMemory()
	got = nil
	m.HoldSync()
	commit(6)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	expect("6 <nil>")
}
