package hypercore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestContentEncryptionVectors(t *testing.T) {
	raw, err := os.ReadFile("../interop/vectors/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		ContentEncryption struct{ Key, Nonce, Plaintext, Block string }
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	from := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	v := file.ContentEncryption
	s := NewSeal([32]byte(from(v.Key)))
	if got := s.sealWith([]byte("before"), from(v.Plaintext), [sealNonce]byte(from(v.Nonce))); !bytes.Equal(got, append([]byte("before"), from(v.Block)...)) {
		t.Errorf("sealed block = %x, want %s", got, v.Block)
	}
	if got, err := s.Open([]byte("before"), from(v.Block)); err != nil || string(got) != "before"+string(from(v.Plaintext)) {
		t.Errorf("Open = %x, %v, want %s", got, err, v.Plaintext)
	}
}

func TestSealOpensOnlyWhatItSealed(t *testing.T) {
	s, other := NewSeal([32]byte{1}), NewSeal([32]byte{2})
	for _, content := range []string{"", "x", strings.Repeat("content", 1000)} {
		sealed := s.Seal(nil, []byte(content))
		if len(sealed) != len(content)+SealOverhead {
			t.Errorf("%d bytes sealed = %d bytes, want %d", len(content), len(sealed), len(content)+SealOverhead)
		}
		if again := s.Seal(nil, []byte(content)); bytes.Equal(again, sealed) {
			t.Error("the same content sealed twice gives the same bytes")
		}
		if got, err := s.Open(nil, sealed); err != nil || string(got) != content {
			t.Errorf("Open = %q, %v, want %q", got, err, content)
		}
		if got, err := other.Open(nil, sealed); !errors.Is(err, ErrWrongKey) || got != nil {
			t.Errorf("Open with another key = %q, %v, want ErrWrongKey", got, err)
		}
		for i := range sealed[:min(len(sealed), 60)] {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1 << (i % 8)
			if got, err := s.Open(nil, bad); !errors.Is(err, ErrWrongKey) || got != nil {
				t.Errorf("Open with byte %d changed = %q, %v, want ErrWrongKey", i, got, err)
			}
		}
		for _, n := range []int{0, 1, SealOverhead - 1, len(sealed) - 1} {
			if _, err := s.Open(nil, sealed[:n]); !errors.Is(err, ErrWrongKey) {
				t.Errorf("Open of %d bytes: %v, want ErrWrongKey", n, err)
			}
		}
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	secret := [32]byte{0xab, 0xcd, 0xef, 0x12, 0x34}
	seal, pair := NewSeal(secret), NewKeyPair(secret)
	for _, format := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d", "%q"} {
		for _, text := range []string{
			fmt.Sprintf(format, seal), fmt.Sprintf(format, *seal), fmt.Sprintf(format, []Seal{*seal}),
			fmt.Sprintf(format, pair), fmt.Sprintf(format, &pair),
		} {
			for _, leak := range []string{"abcdef", "ABCDEF", "171 205 239", "0xab"} {
				if strings.Contains(text, leak) {
					t.Errorf("%s shows a secret: %s", format, text)
				}
			}
		}
	}
}
