package reconcile

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// begun returns a session of count feeds whose remote said that it has others, and
// the payload that it began with.
func begun(t testing.TB, count int, initiator bool) *Session {
	t.Helper()
	s := NewSession(feeds(0, count).set().Snapshot(), SessionKey([32]byte{1}), initiator)
	s.Next()
	other := payload{whole: &[wholeSize]byte{}, count: 5}
	if err := s.Handle(other.encode()); err != nil {
		t.Fatal(err)
	}
	return s
}

func uvarints(values ...uint64) (b []byte) {
	for _, v := range values {
		b = protowire.AppendVarint(b, v)
	}
	return b
}

func zeros(shorts int) []byte { return make([]byte, shorts*shortSize) }

// noise is fingerprints of which none is that of an empty node.
func noise(shorts int) []byte {
	b := zeros(shorts)
	for i := range b {
		b[i] = byte(i + i/256)
	}
	return b
}

func TestOutOfPlace(t *testing.T) {
	list := func(at uint64) payload { return payload{lists: uvarints(at, 0), turn: turnMore} }
	root := payload{prints: slices.Concat(uvarints(1), noise(256)), turn: turnAll}
	part := func(at uint64) payload {
		return payload{prints: slices.Concat(uvarints(at), noise(16)), turn: turnAll}
	}
	whole := payload{whole: &[wholeSize]byte{}, count: 5}
	for name, c := range map[string]struct {
		count     int // of our feeds
		initiator bool
		say       []payload // the last is refused
	}{
		"a second beginning":        {100, false, []payload{whole}},
		"nothing":                   {100, false, []payload{{}}},
		"out of turn":               {100, true, []payload{root}},
		"after the end":             {10, false, []payload{{turn: turnAll}, {turn: turnAll}}},
		"the root twice":            {100, false, []payload{{lists: uvarints(1, 0)}, {lists: uvarints(1, 0)}}},
		"a part before the root":    {100, false, []payload{part(0x100)}},
		"a list before the root":    {100, false, []payload{list(0x1ff)}},
		"a part that wasn't shown":  {100, false, []payload{root, part(0x100)}},
		"a part of a leaf":          {20_000, false, []payload{root, part(0x10011)}},
		"a part twice":              {20_000, false, []payload{root, {lists: slices.Concat(uvarints(0x1000, 0), uvarints(0x1000, 0))}}},
		"a part and its parent":     {20_000, false, []payload{root, {lists: slices.Concat(uvarints(0x1000, 0), uvarints(0x100, 0))}}},
		"a parent and its part":     {20_000, false, []payload{root, {lists: slices.Concat(uvarints(0x100, 0), uvarints(0x1000, 0))}}},
		"an upper parent":           {20_000, false, []payload{root, list(1)}},
		"a want of nothing listed":  {100, false, []payload{{want: uvarints(1, 1)}}},
		"a want of no places":       {100, false, []payload{root, {want: uvarints(0x100, 0)}}},
		"a want of places past it":  {100, false, []payload{root, {want: uvarints(0x100, 1<<63)}}},
		"a want twice":              {100, false, []payload{root, {want: slices.Concat(uvarints(0x100, 1), uvarints(0x100, 1))}}},
		"all sent before the end":   {100, false, []payload{{told: true}}},
		"all sent twice":            {10, false, []payload{{turn: turnAll, told: true}, {told: true}}},
		"the last before all":       {100, false, []payload{{again: &[wholeSize]byte{}}}},
		"the last before all, ends": {10, false, []payload{{turn: turnAll, again: &[wholeSize]byte{}}}},
	} {
		s := begun(t, c.count, c.initiator)
		for i, p := range c.say {
			err := s.Handle(p.encode())
			if last := i == len(c.say)-1; last != errors.Is(err, ErrUnexpected) || !last && err != nil {
				t.Errorf("%s: payload %d: %v", name, i, err)
			}
			for n := 0; n < 100 && (len(s.Send(100)) > 0 || s.Next() != nil); n++ {
			}
		}
		if err := s.Handle(nil); !errors.Is(err, ErrUnexpected) || s.Next() != nil || s.Send(1) != nil {
			t.Errorf("%s: goes on after its error", name)
		}
	}
}

func TestBeginning(t *testing.T) {
	for name, b := range map[string][]byte{
		"a turn first":             (&payload{turn: turnAll}).encode(),
		"a beginning with a turn":  (&payload{whole: &[wholeSize]byte{}, turn: turnAll}).encode(),
		"a beginning with the end": (&payload{whole: &[wholeSize]byte{}, again: &[wholeSize]byte{}}).encode(),
	} {
		s := NewSession(New().Snapshot(), [32]byte{}, false)
		if err := s.Handle(b); !errors.Is(err, ErrUnexpected) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := NewSession(feeds(0, 1).set().Snapshot(), [32]byte{}, false)
	if err := s.Handle((&payload{whole: &[wholeSize]byte{}, count: 1}).encode()); err != nil {
		t.Fatal(err)
	}
	if err := s.Handle((&payload{lists: uvarints(1, 0), turn: turnAll}).encode()); !errors.Is(err, ErrUnexpected) {
		t.Errorf("the remote's turn before it had our fingerprint: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	field := func(num protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
	}
	number := func(num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
	}
	for name, b := range map[string][]byte{
		"a cut tag":                {0x80},
		"a cut field":              {fieldWant<<3 | 2, 5, 1},
		"a group":                  {fieldWant<<3 | 3, fieldWant<<3 | 4},
		"a short whole":            field(fieldWhole, make([]byte, wholeSize-1)),
		"a long whole":             field(fieldWhole, make([]byte, wholeSize+1)),
		"a whole number":           number(fieldWhole, 1),
		"a long last":              field(fieldAgain, make([]byte, wholeSize+1)),
		"a count of bytes":         field(fieldCount, []byte{1}),
		"a number of prints":       number(fieldPrints, 1),
		"a number of lists":        number(fieldList, 1),
		"a number of wants":        number(fieldWant, 1),
		"turn 0":                   number(fieldTurn, 0),
		"turn 3":                   number(fieldTurn, 3),
		"told 0":                   number(fieldTold, 0),
		"told as bytes":            field(fieldTold, nil),
		"no prefix":                field(fieldList, uvarints(0, 0)),
		"a prefix of 1 bit":        field(fieldList, uvarints(2, 0)),
		"a prefix of 7 bits":       field(fieldList, uvarints(0x80, 0)),
		"a prefix of 9 bits":       field(fieldList, uvarints(0x200, 0)),
		"a prefix of 61 bits":      field(fieldList, uvarints(1<<61, 0)),
		"a prefix of 63 bits":      field(fieldList, uvarints(1<<63, 0)),
		"a cut prefix":             field(fieldList, []byte{0x80}),
		"a list without count":     field(fieldList, uvarints(1)),
		"a cut list":               field(fieldList, append(uvarints(1, 2), zeros(1)...)),
		"fingerprints cut":         field(fieldPrints, append(uvarints(1), zeros(255)...)),
		"fingerprints and a rest":  field(fieldPrints, append(uvarints(1), append(zeros(256), 0x80)...)),
		"a want without places":    field(fieldWant, uvarints(1)),
		"a want with cut places":   field(fieldWant, append(uvarints(1), 0x80)),
		"an unknown field cut off": {15<<3 | 2, 1},
	} {
		s := begun(t, 100, false)
		if err := s.Handle(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := begun(t, 10, false)
	later := append(field(15, []byte("from a later version")), (&payload{turn: turnAll}).encode()...)
	if err := s.Handle(later); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestLimits(t *testing.T) {
	pad := func(size int) []byte { // a payload of that size
		b := protowire.AppendTag((&payload{lists: uvarints(1, 0)}).encode(), 15, protowire.BytesType)
		return protowire.AppendBytes(b, make([]byte, size-len(b)-protowire.SizeVarint(uint64(size))))
	}
	root := &payload{prints: slices.Concat(uvarints(1), noise(256)), turn: turnAll}
	list := func(n uint64) *payload {
		return &payload{lists: append(uvarints(1, n), zeros(int(n))...), turn: turnAll}
	}
	for name, c := range map[string]struct {
		set  func(*Session)
		last []byte
		over bool
	}{
		"payload":            {nil, pad(MaxPayload), false},
		"payload, over":      {nil, pad(MaxPayload + 1), true},
		"bytes":              {func(s *Session) { s.spent.bytes = MaxBytes - 1000 }, pad(1000), false},
		"bytes, over":        {func(s *Session) { s.spent.bytes = MaxBytes - 1000 }, pad(1001), true},
		"list":               {nil, list(LeafSize).encode(), false},
		"list, over":         {nil, list(LeafSize + 1).encode(), true},
		"ids":                {func(s *Session) { s.spent.ids = MaxIDs - 10 }, list(10).encode(), false},
		"ids, over":          {func(s *Session) { s.spent.ids = MaxIDs - 10 }, list(11).encode(), true},
		"fingerprints":       {func(s *Session) { s.spent.prints = MaxFingerprints - 256 }, root.encode(), false},
		"fingerprints, over": {func(s *Session) { s.spent.prints = MaxFingerprints - 255 }, root.encode(), true},
		"payloads":           {func(s *Session) { s.turn = MaxTurnPayloads - 1 }, root.encode(), false},
		"payloads, over":     {func(s *Session) { s.turn = MaxTurnPayloads }, root.encode(), true},
		"turns":              {func(s *Session) { s.spent.turns = MaxTurns - 1 }, root.encode(), false},
		"turns, over":        {func(s *Session) { s.spent.turns = MaxTurns }, root.encode(), true},
	} {
		s := begun(t, 100, false)
		if c.set != nil {
			c.set(s)
		}
		if err := s.Handle(c.last); errors.Is(err, ErrLimit) != c.over || !c.over && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNeverConverges: a remote that always leaves something to be said is cut.
func TestNeverConverges(t *testing.T) {
	s := begun(t, 100, false)
	var err error
	turns := 0
	for ; err == nil && turns < 10_000; turns++ {
		err = s.Handle((&payload{turn: turnMore}).encode())
		for s.Next() != nil {
		}
	}
	if !errors.Is(err, ErrLimit) || turns != MaxTurns+1 {
		t.Errorf("%d turns, then %v, want %d", turns, err, MaxTurns)
	}
}

// TestShortListBesideALargeSet: a list of a few bytes doesn't make us look through
// a large set at once, but as its entries are sent.
func TestShortListBesideALargeSet(t *testing.T) {
	s := begun(t, 20_000, false)
	if err := s.Handle((&payload{lists: append(uvarints(1, 2), noise(2)...), turn: turnAll}).encode()); err != nil {
		t.Fatal(err)
	}
	if b := s.Next(); b != nil {
		t.Errorf("said %x before all was looked at", b)
	}
	looked := 0
	for {
		keys := s.Send(100)
		if looked += len(keys); len(keys) > 100 {
			t.Fatalf("%d keys of one Send", len(keys))
		}
		if len(keys) < 100 {
			break
		}
		if s.scans == 1 && s.Next() != nil {
			t.Fatal("said something before all was looked at")
		}
	}
	p, err := decode(s.Next())
	if looked != 20_000 || err != nil || !slices.Equal(p.want, uvarints(1, 3)) || p.turn != turnAll {
		t.Errorf("%d keys, then %+v, %v", looked, p, err)
	}
}

// FuzzHandle gives a session any payloads in any state: the first byte says who we
// are and how many feeds we have, and each payload follows its length of two bytes.
func FuzzHandle(f *testing.F) {
	deep := content{}
	next := crowd(rand.New(rand.NewPCG(7, 7)), 4)
	for range 300 {
		deep[next()] = hashOf(1)
	}
	var views []*Snapshot
	for _, c := range []content{{}, feeds(0, 10), feeds(0, 100), deep} {
		views = append(views, c.set().Snapshot())
	}
	for kind := range byte(8) {
		f.Add(record(f, views[kind>>1&3], kind))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		view := views[b[0]>>1&3]
		s := NewSession(view, SessionKey([32]byte{1}), b[0]&1 != 0)
		sent := map[Key]bool{}
		for b = b[1:]; len(b) >= 2; {
			for n := 1; n > 0; {
				keys := s.Send(64)
				for _, key := range keys {
					if _, ok := view.Get(key); !ok || sent[key] {
						t.Fatalf("key %x sent twice, or not ours", key)
					}
					sent[key] = true
				}
				out := s.Next()
				if n = len(keys) + len(out); len(out) > MaxPayload {
					t.Fatalf("a payload of %d bytes", len(out))
				}
			}
			n := min(int(b[0])<<8|int(b[1]), len(b)-2)
			if s.Handle(b[2:2+n]) != nil && s.Next() != nil {
				t.Fatal("goes on after an error")
			}
			b = b[2+n:]
		}
	})
}

// record returns what the remote of a view says in an honest session, as FuzzHandle
// takes it.
func record(t testing.TB, view *Snapshot, kind byte) []byte {
	c := view.content()
	r := rand.New(rand.NewPCG(6, uint64(kind)))
	other, _ := twist(r, c, func() Key { return keyOf(r.IntN(5000)) }, 50)
	p := newPair(t, view, other.set().Snapshot(), 1)
	if kind&1 == 0 {
		p = newPair(t, other.set().Snapshot(), view, 1)
	}
	we := int(kind&1) ^ 1
	out := []byte{kind}
	for range 20 {
		for i := range p.side {
			for _, b := range p.write(i) {
				if i != we {
					out = append(append(out, byte(len(b)>>8), byte(len(b))), b...)
				}
				if err := p.side[1-i].Handle(b); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return out
}
