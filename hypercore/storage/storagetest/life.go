package storagetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// testDurableOrder checks that Durable is called once for every batch that was
// taken, in the order of the commits, and by Close at the latest.
func testDurableOrder(t *testing.T, s hypercore.Storage) {
	var mu sync.Mutex // guards got
	var got []int
	const batches = 200
	urgent := make(chan error, 1)
	for i := range batches {
		b := &hypercore.Batch{
			Feeds:   []hypercore.FeedWrite{{Key: feedKey(i % 5), Runs: []hypercore.Run{run(i%5, uint64(i), 1, 50)}}},
			Urgent:  i%20 == 7,
			Durable: func(err error) { mu.Lock(); got = append(got, i); mu.Unlock() },
		}
		if i%3 == 0 {
			b.Durable = nil
		}
		if i == 107 {
			b.Durable = func(err error) { mu.Lock(); got = append(got, i); mu.Unlock(); urgent <- err }
		}
		commit(t, s, b)
		if i%10 == 0 {
			bad := &hypercore.Batch{
				Feeds:   []hypercore.FeedWrite{{Key: feedKey(9), Runs: []hypercore.Run{badRun}}},
				Durable: func(error) { t.Error("Durable of a refused batch was called") },
			}
			if s.Commit(bad) == nil {
				t.Fatal("Commit took a bad batch")
			}
		}
	}
	if err := <-urgent; err != nil {
		t.Fatalf("Durable of an urgent batch = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	var want []int
	for i := range batches {
		if i%3 != 0 {
			want = append(want, i)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("Durable was called for %v, want %v", got, want)
	}
}

// testConcurrent appends to some feeds from several goroutines and reads what
// other goroutines were told about.
func testConcurrent(t *testing.T, s hypercore.Storage) {
	const feeds, batches, each = 4, 60, 5
	var wg sync.WaitGroup
	for feed := range feeds {
		written := make(chan uint64, batches)
		wg.Go(func() {
			defer close(written)
			for i := range uint64(batches) {
				durable := make(chan error, 1)
				h := head(feed, (i+1)*each)
				err := s.Commit(&hypercore.Batch{
					Feeds: []hypercore.FeedWrite{{
						Key: feedKey(feed), Head: &h, Runs: []hypercore.Run{run(feed, i*each, each, 200)},
						Nodes: []merkle.Node{node(feed, i)},
					}},
					Records: []hypercore.Record{{Key: []byte{byte(feed)}, Value: []byte{byte(i)}}},
					Urgent:  i%8 == 0,
					Durable: func(err error) { durable <- err },
				})
				if err != nil {
					t.Errorf("Commit: %v", err)
					return
				}
				written <- i
				if i%8 == 0 {
					if err := <-durable; err != nil {
						t.Errorf("Durable: %v", err)
					}
				}
			}
		})
		wg.Go(func() {
			for i := range written {
				if err := readBack(s, feed, i, each); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for feed := range feeds {
		checkCounts(t, s, feedKey(feed), batches*each, batches*each*200)
		checkHeld(t, s, feedKey(feed), hypercore.Span{Count: batches * each})
		checkBlocks(t, s, feed, 0, batches*each, 200)
	}
}

// readBack reads what the i-th batch of testConcurrent wrote to the feed.
func readBack(s hypercore.Storage, feed int, i, each uint64) error {
	if f, err := s.Feed(feedKey(feed)); err != nil || f.Head.Length < (i+1)*each || f.Blocks < (i+1)*each {
		return fmt.Errorf("read back: Feed after batch %d = %+v, %v", i, f, err)
	}
	if n, err := s.Node(feedKey(feed), i); err != nil || n != node(feed, i) {
		return fmt.Errorf("read back: Node(%d) = %v, %v", i, n, err)
	}
	blocks, err := s.Blocks(feedKey(feed), hypercore.Span{Start: 0, Count: (i + 1) * each})
	if err != nil || uint64(len(blocks)) != (i+1)*each {
		return fmt.Errorf("read back: Blocks after batch %d: %d blocks, %v", i, len(blocks), err)
	}
	if spans, err := heldSpans(s, feedKey(feed)); err != nil || len(spans) != 1 || spans[0].Count < (i+1)*each {
		return fmt.Errorf("read back: Held after batch %d = %v, %v", i, spans, err)
	}
	if v, err := s.Record([]byte{byte(feed)}); err != nil || uint64(v[0]) < i {
		return fmt.Errorf("read back: Record after batch %d = %v, %v", i, v, err)
	}
	return nil
}

func testClose(t *testing.T, s hypercore.Storage) {
	write(t, s, hypercore.FeedWrite{Key: feedKey(1), Runs: []hypercore.Run{run(1, 0, 3, 5)}})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	for what, err := range useAll(s) {
		checkError(t, what+" after Close", err, hypercore.ErrClosed)
	}
}

// useAll calls every method of the store and returns their errors.
func useAll(s hypercore.Storage) map[string]error {
	errs := make(map[string]error)
	for _, err := range s.Feeds() {
		errs["Feeds"] = err
	}
	for _, err := range s.Held(feedKey(1)) {
		errs["Held"] = err
	}
	for _, err := range s.Records(nil) {
		errs["Records"] = err
	}
	_, errs["Feed"] = s.Feed(feedKey(1))
	_, errs["Node"] = s.Node(feedKey(1), 0)
	_, errs["Blocks"] = s.Blocks(feedKey(1), hypercore.Span{Count: 1})
	_, errs["Record"] = s.Record([]byte("a"))
	errs["Commit"] = s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{
		Key: feedKey(1), Head: &hypercore.Head{}, Nodes: []merkle.Node{node(1, 0)},
	}}, Records: []hypercore.Record{{Key: []byte("a"), Value: []byte{1}}}})
	return errs
}

// testCloseUnderUse closes the store while it is used. Every call either works
// or returns ErrClosed, and what was committed is reported.
func testCloseUnderUse(t *testing.T, s hypercore.Storage) {
	write(t, s, hypercore.FeedWrite{Key: feedKey(1), Nodes: []merkle.Node{node(1, 0)}, Runs: []hypercore.Run{run(1, 0, 3, 5)}})
	commit(t, s, &hypercore.Batch{Records: []hypercore.Record{{Key: []byte("a"), Value: []byte{1}}}})
	var users, durables sync.WaitGroup
	started := make(chan struct{}, 8)
	for i := range 4 {
		users.Go(func() {
			for n := uint64(0); ; n++ {
				durables.Add(1)
				err := s.Commit(&hypercore.Batch{
					Feeds:   []hypercore.FeedWrite{{Key: feedKey(i + 2), Runs: []hypercore.Run{run(i, n, 1, 20)}}},
					Durable: func(error) { durables.Done() },
				})
				if err != nil {
					durables.Done()
					if !errors.Is(err, hypercore.ErrClosed) {
						t.Errorf("Commit during Close = %v", err)
					}
					return
				}
				if n == 3 {
					started <- struct{}{}
				}
			}
		})
		users.Go(func() {
			for n, closed := 0, false; !closed; n++ {
				for what, err := range useAll(s) {
					closed = closed || err != nil
					if err != nil && !errors.Is(err, hypercore.ErrClosed) {
						t.Errorf("%s during Close = %v", what, err)
					}
				}
				if n == 3 {
					started <- struct{}{}
				}
			}
		})
	}
	for range cap(started) {
		<-started
	}
	for range 2 {
		users.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close under use: %v", err)
			}
		})
	}
	users.Wait()
	durables.Wait()
}
