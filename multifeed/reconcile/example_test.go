package reconcile

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
)

// fill returns 32 times the same byte.
func fill(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

// TestSpecExample is the example of interop/spec/feedset.md, "Reconciliation".
func TestSpecExample(t *testing.T) {
	a, b := New(), New()
	a.Set(fill(0x01), HashEntry(fill(0x01), 1, fill(0x11)))
	a.Set(fill(0x02), HashEntry(fill(0x02), 2, fill(0x12)))
	b.Set(fill(0x01), HashEntry(fill(0x01), 1, fill(0x11)))
	b.Set(fill(0x02), HashEntry(fill(0x02), 3, fill(0x13)))
	b.Set(fill(0x03), HashEntry(fill(0x03), 1, fill(0x14)))
	one, _ := a.Get(fill(0x01))
	key := SessionKey(fill(0x77))
	for name, c := range map[string]struct{ got, want any }{
		"entry hash":  {hex.EncodeToString(one[:]), "e0e1ef104372cf03817375e8bb9088bd"},
		"key":         {hex.EncodeToString(key[:]), "1683dd50cf4d21ee447cb629ea23c90ddbf1cb82c1471b8506387fce27b1fecd"},
		"fingerprint": {hex.EncodeToString(sumOf(a)), "ecbc375ffff768b0447b9f3adbd6af0fcee1b370e72e8d412d16f8b443b4f34f"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", name, c.got, c.want)
		}
	}
	p := newPair(t, a.Snapshot(), b.Snapshot(), 0)
	p.side = [2]*Session{NewSession(a.Snapshot(), key, true), NewSession(b.Snapshot(), key, false)}
	for i, step := range []struct {
		side    int
		payload string
	}{
		{0, "0a10f95bb15d9a4ac34a43dcb3f8dbb3828c1002"},
		{1, "0a1073ad80e897251415024b7249fb9f71021003"},
		{0, "220e0102d2f5e804f0cc29fe09218acf3001"},
		{1, "2a02010230013801"},
		{0, "3801"},
		{0, "4210f6c302084701d4bbfbe222338233c522"},
		{1, "4210f6c302084701d4bbfbe222338233c522"},
	} {
		if i == 5 {
			for n := range p.side {
				p.side[n].Confirm(fill(0x55))
			}
		}
		p.sent[step.side] = append(p.sent[step.side], p.side[step.side].Send(10)...)
		payload := p.side[step.side].Next()
		if got := hex.EncodeToString(payload); got != step.payload {
			t.Errorf("payload %d = %s, want %s", i, got, step.payload)
		}
		if err := p.side[1-step.side].Handle(payload); err != nil {
			t.Fatal(err)
		}
	}
	if want := []Key{fill(0x02)}; !slices.Equal(p.sent[0], want) {
		t.Errorf("the initiator sent %x, want %x", p.sent[0], want)
	}
	if want := []Key{fill(0x02), fill(0x03)}; !slices.Equal(p.sent[1], want) {
		t.Errorf("the responder sent %x, want %x", p.sent[1], want)
	}
}

func sumOf(s *Set) []byte {
	sum := s.Fingerprint()
	return sum[:]
}
