package wire

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func fullHello() Hello {
	tag := [32]byte{1}
	h := Hello{Major: MaxVersion, Minor: MaxVersion, Tag: &tag, Nonce: [32]byte{2}, Process: [16]byte{3}, Silence: MaxSilence}
	for i := range MaxFeatures {
		h.Features = append(h.Features, fmt.Sprintf("%0*d", MaxFeature, i))
	}
	return h
}

func TestHelloRoundTrip(t *testing.T) {
	for _, h := range []Hello{{}, {Major: 1, Silence: MinSilence}, fullHello(), {Features: []string{" ~"}}} {
		b, err := AppendHello([]byte("before"), h)
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.TrimPrefix(b, []byte("before"))
		if len(b) > MaxControl {
			t.Errorf("the largest Hello has %d bytes", len(b))
		}
		got, err := DecodeHello(b)
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%+v came back as %+v, %v", h, got, err)
		}
	}
}

func TestHelloLimits(t *testing.T) {
	minimal, _ := AppendHello(nil, Hello{Major: 1})
	tests := []struct {
		field string
		body  []byte
	}{
		{"major", nil},
		{"major", field(1, uint64(MaxVersion+1))},
		{"minor", field(2, uint64(MaxVersion+1))},
		{"tag", field(3, make([]byte, 31))},
		{"nonce", slices.Concat(field(1, uint64(1)), field(5, make([]byte, 16)))},
		{"nonce", field(4, make([]byte, 33))},
		{"process", slices.Concat(field(1, uint64(1)), field(4, make([]byte, 32)))},
		{"process", field(5, make([]byte, 15))},
		{"silence", slices.Concat(minimal, field(6, uint64(MinSilence-1)))},
		{"silence", slices.Concat(minimal, field(6, uint64(MaxSilence+1)))},
		{"feature", repeated(MaxFeatures+1, field(7, []byte("x")))},
		{"feature", field(7, []byte{})},
		{"feature", field(7, []byte(strings.Repeat("x", MaxFeature+1)))},
		{"feature", field(7, []byte("a\x1f"))},
		{"feature", field(7, []byte("a\x7f"))},
	}
	for _, tt := range tests {
		_, err := DecodeHello(tt.body)
		wantFormat(t, err, "Hello", tt.field)
	}
	if _, err := DecodeHello(slices.Concat(minimal, field(6, uint64(0)), field(99, hash32))); err != nil {
		t.Errorf("silence 0 and an unknown field: %v", err)
	}
	bad := []Hello{
		{Silence: MinSilence - 1}, {Silence: MaxSilence + 1}, {Features: make([]string, 1)},
		{Features: slices.Repeat([]string{"x"}, MaxFeatures+1)}, {Features: []string{"ä"}},
	}
	for _, h := range bad {
		if b, err := AppendHello(nil, h); err == nil || b != nil {
			t.Errorf("%+v was encoded", h)
		}
	}
}

func TestProof(t *testing.T) {
	want := [32]byte(hash32)
	got, err := DecodeProof(AppendProof(nil, want))
	if err != nil || got != want {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
	for _, body := range [][]byte{nil, field(1, hash32[1:]), field(1, uint64(1)), field(2, hash32)} {
		_, err := DecodeProof(body)
		wantFormat(t, err, "Proof", "proof")
	}
}

func FuzzHello(f *testing.F) {
	full, _ := AppendHello(nil, fullHello())
	f.Add(full)
	f.Add(AppendProof(nil, [32]byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		DecodeProof(b)
		h, err := DecodeHello(b)
		if err != nil {
			return
		}
		again, err := AppendHello(nil, h)
		if err != nil {
			t.Fatalf("%+v is not encoded: %v", h, err)
		}
		if got, err := DecodeHello(again); err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("%+v came back as %+v, %v", h, got, err)
		}
	})
}
