package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

func someTags(n int) []tag {
	tags := make([]tag, n)
	for i := range tags {
		copy(tags[i][:], fmt.Sprintf("tag %8d", i))
	}
	return tags
}

func TestTagsArePadded(t *testing.T) {
	for _, c := range []struct{ tags, want int }{
		{0, 16}, {1, 16}, {16, 16}, {17, 32}, {1000, 1024}, {2049, 4096}, {4096, 4096}, {4097, 4096}, {9000, 4096},
	} {
		b := appendTags(nil, someTags(c.tags))
		got, err := readTags(bytes.NewReader(b))
		if err != nil || len(got) != c.want {
			t.Errorf("%d tags are sent as %d, %v, want %d", c.tags, len(got), err, c.want)
		}
		sent := 0
		for _, tag := range someTags(c.tags) {
			if _, ok := got[tag]; ok {
				sent++
			}
		}
		if want := min(c.tags, MaxTags); sent != want {
			t.Errorf("%d of %d tags arrived, want %d", sent, c.tags, want)
		}
	}
}

func TestTagsHideTheirOrder(t *testing.T) {
	b := appendTags(nil, someTags(3))[2:]
	for i := tagSize; i < len(b); i += tagSize {
		if bytes.Compare(b[i-tagSize:i], b[i:i+tagSize]) > 0 {
			t.Fatal("tags are not sorted: those in front can be told from the random ones")
		}
	}
}

func TestMalformedTags(t *testing.T) {
	for name, c := range map[string]struct {
		in    []byte
		fault bool // the peer's; else the stream's
	}{
		"empty":              {nil, false},
		"length cut":         {[]byte{0x80}, false},
		"body cut":           {appendTags(nil, nil)[:100], false},
		"no tags":            {[]byte{0}, true},
		"below the minimum":  {appendLength(nil, 8*tagSize), true},
		"no power of two":    {appendLength(nil, 24*tagSize), true},
		"part of a tag":      {appendLength(nil, 16*tagSize+1), true},
		"one size too large": {appendLength(nil, 2*maxTagsMessage), true},
		"longer length":      {[]byte{0x80, 0x82, 0x00}, true},
		"endless length":     {[]byte{0xff, 0xff, 0xff, 0xff}, true},
	} {
		if _, err := readTags(bytes.NewReader(c.in)); err == nil || errors.Is(err, errTags) != c.fault {
			t.Errorf("%s: %v, want the peer's fault to be %v", name, err, c.fault)
		}
	}
}

// A length over the limit is refused before memory is taken for it.
func TestTagsLengthComesFirst(t *testing.T) {
	huge := appendLength(nil, 1<<21-1)
	got := testing.AllocsPerRun(10, func() { readTags(bytes.NewReader(huge)) })
	if got > 10 {
		t.Errorf("%v allocations for a refused length", got)
	}
}

func FuzzReadTags(f *testing.F) {
	f.Add(appendTags(nil, someTags(1)))
	f.Add(appendTags(nil, someTags(17)))
	f.Add([]byte{0x80, 0x80, 0x04})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		tags, err := readTags(r)
		if err != nil {
			return
		}
		if len(tags) > MaxTags {
			t.Fatalf("%d tags", len(tags))
		}
		// What was read is its only encoding, but for the order of the tags.
		read := b[:len(b)-r.Len()]
		n, err := readLength(bytes.NewReader(read))
		if err != nil || !bytes.HasPrefix(read, appendLength(nil, n)) || len(read) != n+len(appendLength(nil, n)) {
			t.Fatalf("read %d bytes with the length %d, %v", len(read), n, err)
		}
		if rest, _ := io.ReadAll(r); len(rest)+len(read) != len(b) {
			t.Fatal("read beyond the message")
		}
	})
}
