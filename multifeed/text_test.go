package multifeed

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/bech32"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Computed without this code; interop/spec/keys.md lists them too.
const (
	textOpen   = "cbxopen1szqc9quyskrg0zyf329cervw37gfry5njj2ed9ucnxdfh8yan60sjdt75d"
	textSigned = "cbxaddr108m2umy8ws3arw48m6nejmzpwcrj4h3wxae05kw6xn4pdgdqg68sdyr950"
	textSecret = "cbxsecret1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0s9swjhc"

	hexOpen = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
	hexKey  = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
)

func TestParseAccess(t *testing.T) {
	open := Address{KindOpen, count(0x80)}
	openKey, secretKey := EncryptionKey(count(0xc0)), testSecret.EncryptionKey()
	secret := testSecret
	tests := map[string]Access{
		textOpen:                       {Address: open},
		strings.ToUpper(textOpen):      {Address: open},
		" \t" + textOpen + "\r\n":      {Address: open},
		textSigned:                     {Address: testSecret.Address()},
		textSecret:                     {testSecret.Address(), &secretKey, &secret},
		hexOpen:                        {Address: open},
		strings.ToUpper(hexOpen):       {Address: open},
		hexOpen + hexKey:               {Address: open, EncryptionKey: &openKey},
		"\n" + hexOpen + hexKey + "  ": {Address: open, EncryptionKey: &openKey},
	}
	for text, want := range tests {
		got, err := ParseAccess(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got.Address != want.Address || !same(got.EncryptionKey, want.EncryptionKey) || !same(got.Secret, want.Secret) {
			t.Errorf("%q: wrong keys", text)
		}
	}
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func TestFormat(t *testing.T) {
	open := Address{KindOpen, count(0x80)}
	key := EncryptionKey(count(0xc0))
	accessKey, err := FormatAccessKey(open, key)
	for got, want := range map[string]string{
		open.String():                 textOpen,
		testSecret.Address().String(): textSigned,
		FormatSecret(testSecret):      textSecret,
		accessKey:                     hexOpen + hexKey,
	} {
		if got != want || err != nil {
			t.Errorf("got %s, want %s, %v", got, want, err)
		}
	}
	if got, err := FormatAccessKey(testSecret.Address(), key); err == nil || got != "" {
		t.Error("a signed space has an access key")
	}
	if got := (Address{}).String(); got != "address of no known kind" {
		t.Errorf("zero address = %q", got)
	}
}

func TestParseAccessRefuses(t *testing.T) {
	bech := func(prefix string, data []byte, encode func(string, []byte) (string, error)) string {
		five, err := bech32.ConvertBits(data, 8, 5, true)
		if err != nil {
			t.Fatal(err)
		}
		s, err := encode(prefix, five)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	key := count(0x80)
	padded, _ := bech32.ConvertBits(key[:], 8, 5, true)
	padded[len(padded)-1] |= 1
	bits, _ := bech32.EncodeM("cbxopen", padded)
	tests := map[string]error{
		"":                                          errTextPrefix,
		hexOpen[1:]:                                 errTextPrefix,
		hexOpen + "0":                               errTextPrefix,
		hexOpen + hexKey + "00":                     errTextPrefix,
		"g" + hexOpen[1:]:                           errTextHex,
		hexOpen + "x" + hexKey[1:]:                  errTextHex,
		strings.Repeat("0", 257):                    errTextLength,
		"cbxopen":                                   errTextLength,
		"cbxopen1":                                  errTextLength,
		"cbxopen1qqq":                               errTextLength,
		"cbxopen1" + textOpen[9:]:                   errTextChecksum,
		textOpen[:40] + "q" + textOpen[41:]:         errTextChecksum,
		textOpen[:40] + "b" + textOpen[41:]:         errTextLetter,
		textOpen[:40] + "ö" + textOpen[42:]:         errTextLetter,
		"C" + textOpen[1:]:                          errTextCase,
		textOpen[:len(textOpen)-1]:                  errTextChecksum,
		textOpen + "q":                              errTextChecksum,
		"cbxaddr" + textOpen[7:]:                    errTextChecksum,
		bits:                                        errTextPadding,
		bech("cbxopen", key[:], bech32.Encode):      errTextChecksum,
		bech("cbxfoo", key[:], bech32.EncodeM):      errTextPrefix,
		bech("cbxopen", key[:31], bech32.EncodeM):   errTextLength,
		bech("cbxsecret", key[:31], bech32.EncodeM): errTextLength,
		// y = 1, a point of order 1.
		"cbxaddr1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq298pk7": hypercore.ErrWeakKey,
	}
	for text, want := range tests {
		access, err := ParseAccess(text)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
		if access != (Access{}) {
			t.Errorf("%q: refused, and yet %v", text, access)
		}
	}
}

// An error tells nothing of a mistyped secret, wherever the slip is.
func TestParseAccessEchoesNothing(t *testing.T) {
	for i := range textSecret {
		for _, c := range []string{"", "1", "b", "B", "é", "q"} {
			text := textSecret[:i] + c + textSecret[i+1:]
			_, err := ParseAccess(text)
			if err == nil {
				if text != textSecret {
					t.Errorf("%q was taken", text)
				}
				continue
			}
			for n := len("cbxsecret1"); n+6 <= len(textSecret); n++ {
				if strings.Contains(err.Error(), textSecret[n:n+6]) {
					t.Fatalf("%q: the error shows a part: %v", text, err)
				}
			}
		}
	}
}

func FuzzParseAccess(f *testing.F) {
	for _, s := range []string{textOpen, textSigned, textSecret, hexOpen, hexOpen + hexKey, "cbxopen1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		access, err := ParseAccess(text)
		if err != nil {
			return
		}
		if err := access.Check(); err != nil {
			t.Fatalf("parsed what Check refuses: %v", err)
		}
		form := access.String()
		switch {
		case access.Secret != nil:
			form = FormatSecret(*access.Secret)
		case access.EncryptionKey != nil:
			if form, err = FormatAccessKey(access.Address, *access.EncryptionKey); err != nil {
				t.Fatal(err)
			}
		}
		text = strings.ToLower(strings.TrimSpace(text))
		if len(text) == hexAddress && access.Kind == KindOpen {
			if _, err := hex.DecodeString(text); err == nil {
				form = hex.EncodeToString(access.Key[:])
			}
		}
		if form != text {
			t.Fatalf("%q came back as %q", text, form)
		}
	})
}
