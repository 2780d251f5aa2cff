package storagetest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func testRecords(t *testing.T, s hypercore.Storage) {
	records := func(records ...hypercore.Record) {
		t.Helper()
		commit(t, s, &hypercore.Batch{Records: records})
	}
	check := func(key string, want []byte) {
		t.Helper()
		got, err := s.Record([]byte(key))
		if want == nil {
			checkError(t, "Record", err, hypercore.ErrNoRecord)
			return
		}
		if err != nil || got == nil || !bytes.Equal(got, want) {
			t.Fatalf("Record(%q) = %#v, %v, want %#v", key, got, err, want)
		}
	}
	check("a", nil)
	records(hypercore.Record{Key: []byte("a"), Value: []byte("1")}, hypercore.Record{Key: []byte("empty"), Value: []byte{}})
	check("a", []byte("1"))
	check("empty", []byte{})
	check("", nil)
	records(hypercore.Record{Key: []byte("a"), Value: []byte("2")}, hypercore.Record{Key: []byte("b")})
	check("a", []byte("2"))
	check("b", nil)
	records( // the last of several writes to a key counts
		hypercore.Record{Key: []byte("a"), Value: []byte("3")}, hypercore.Record{Key: []byte("a")},
		hypercore.Record{Key: []byte("c")}, hypercore.Record{Key: []byte("c"), Value: []byte("4")})
	check("a", nil)
	check("c", []byte("4"))
	big := content(1, 2, 1<<20)
	records(hypercore.Record{Key: []byte("big"), Value: big})
	check("big", big)
	for range s.Feeds() {
		t.Fatal("records made a feed")
	}
}

func testRecordPrefixes(t *testing.T, s hypercore.Storage) {
	keys := []string{"\x00", "a", "a\x00", "a\x00\xff", "a/1", "a/2", "aa", "b", "\xff", "\xff\xff", "\xff\xff\x00", "\xff\xff\xff"}
	b := &hypercore.Batch{}
	for i := range keys {
		k := keys[len(keys)-1-i]
		b.Records = append(b.Records, hypercore.Record{Key: []byte(k), Value: []byte("v" + k)})
	}
	for i := range 700 {
		b.Records = append(b.Records, hypercore.Record{Key: fmt.Appendf(nil, "n%04d", i), Value: make([]byte, 4096)})
	}
	commit(t, s, b)
	list := func(prefix string) (list []string) {
		for r, err := range s.Records([]byte(prefix)) {
			if err != nil {
				t.Fatalf("Records(%q): %v", prefix, err)
			}
			if k := string(r.Key); k[0] != 'n' && string(r.Value) != "v"+k {
				t.Fatalf("record %q has the value %q", k, r.Value)
			}
			list = append(list, string(r.Key))
		}
		return list
	}
	for prefix, want := range map[string][]string{
		"a": keys[1:7], "a\x00": keys[2:4], "a/": keys[4:6], "b": keys[7:8], "c": nil,
		"\xff": keys[8:], "\xff\xff": keys[9:], "\xff\xff\xff": keys[11:], "\xff\xff\xff\xff": nil,
	} {
		if got := list(prefix); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("Records(%q) = %q, want %q", prefix, got, want)
		}
	}
	all := list("")
	if len(all) != len(keys)+700 {
		t.Fatalf("Records of all yielded %d, want %d", len(all), len(keys)+700)
	}
	for i := range all[1:] {
		if all[i] >= all[i+1] {
			t.Fatalf("Records yielded %q before %q", all[i], all[i+1])
		}
	}
}

// testLoops checks that a loop's body may call the store and may end the loop.
func testLoops(t *testing.T, s hypercore.Storage) {
	b := &hypercore.Batch{}
	for i := range 5 {
		b.Feeds = append(b.Feeds, hypercore.FeedWrite{
			Key: feedKey(i), Runs: []hypercore.Run{run(i, 0, 1, 10), run(i, 5, 1, 10), run(i, 9, 1, 10)},
		})
		b.Records = append(b.Records, hypercore.Record{Key: []byte{byte(i + 1)}, Value: []byte{1}})
	}
	commit(t, s, b)
	seen := 0
	for f, err := range s.Feeds() {
		if err != nil {
			t.Fatal(err)
		}
		for span, err := range s.Held(f.Key) {
			if err != nil {
				t.Fatal(err)
			}
			write(t, s, hypercore.FeedWrite{Key: f.Key, Runs: []hypercore.Run{run(9, span.Start+1, 1, 1)}})
			seen++
			if span.Start == 5 {
				break
			}
		}
		if f.Key == feedKey(3) {
			break
		}
	}
	if seen != 8 {
		t.Fatalf("loops saw %d spans, want 8", seen)
	}
	left := 5
	for r, err := range s.Records(nil) {
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, &hypercore.Batch{Records: []hypercore.Record{{Key: r.Key}}})
		left--
	}
	if left != 0 {
		t.Fatalf("loop missed %d records", left)
	}
}

// testAliasing changes every slice that was given to the store or returned by it.
func testAliasing(t *testing.T, s hypercore.Storage) {
	spoil := func(b []byte) {
		for i := range b {
			b[i] ^= 0xff
		}
	}
	r := run(1, 0, 70, 30)
	record := hypercore.Record{Key: []byte("key"), Value: []byte("value")}
	commit(t, s, &hypercore.Batch{
		Feeds:   []hypercore.FeedWrite{{Key: feedKey(1), Runs: []hypercore.Run{r}}},
		Records: []hypercore.Record{record},
	})
	for _, b := range r.Blocks {
		spoil(b)
	}
	spoil(record.Key)
	spoil(record.Value)
	for range 2 {
		checkBlocks(t, s, 1, 0, 70, 30)
		got, err := s.Blocks(feedKey(1), hypercore.Span{Start: 0, Count: 70})
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range got {
			_ = append(b, 1, 2, 3) // must not reach the next block
			if i+1 < len(got) && !bytes.Equal(got[i+1], content(1, uint64(i+1), 30)) {
				t.Fatalf("appending to block %d changed the next", i)
			}
			spoil(b)
		}
		value, err := s.Record([]byte("key"))
		if err != nil || string(value) != "value" {
			t.Fatalf("Record = %q, %v", value, err)
		}
		spoil(value)
		for r, err := range s.Records(nil) {
			if err != nil || string(r.Key) != "key" || string(r.Value) != "value" {
				t.Fatalf("Records yielded %q, %v", r, err)
			}
			spoil(r.Key)
			spoil(r.Value)
		}
	}
}
