package hypercore_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"testing"

	"filippo.io/edwards25519"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// weakPoints is every encoding of a point of order 1, 2, 4 or 8, canonical or
// not: the list of libsodium, and the same with the sign bit set.
var weakPoints = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func keyOf(t *testing.T, text string) (k hypercore.Key) {
	t.Helper()
	if n, err := hex.Decode(k[:], []byte(text)); err != nil || n != len(k) {
		t.Fatalf("bad key in test: %s", text)
	}
	return k
}

func TestWeakKeysAreRefused(t *testing.T) {
	for _, text := range weakPoints {
		k := keyOf(t, text)
		if err := k.Check(); !errors.Is(err, hypercore.ErrWeakKey) {
			t.Errorf("Check of %s: %v, want ErrWeakKey", text, err)
		}
		if _, err := hypercore.Open(storage.NewMemory(), k, hypercore.KeyPair{}); !errors.Is(err, hypercore.ErrWeakKey) {
			t.Errorf("Open of %s: %v, want ErrWeakKey", text, err)
		}
	}
}

// All y from the field's prime up to 2^255-1 are encodings that aren't
// canonical, whatever their point.
func TestKeysThatAreNotCanonicalAreRefused(t *testing.T) {
	for low := 0xed; low <= 0xff; low++ {
		for _, sign := range []byte{0, 0x80} {
			var k hypercore.Key
			for i := range k {
				k[i] = 0xff
			}
			k[0], k[31] = byte(low), 0x7f|sign
			if err := k.Check(); !errors.Is(err, hypercore.ErrWeakKey) {
				t.Errorf("Check of %s: %v, want ErrWeakKey", k, err)
			}
		}
	}
	// 2 is no y of a point on the curve.
	if err := (hypercore.Key{2}).Check(); !errors.Is(err, hypercore.ErrWeakKey) {
		t.Errorf("Check of a key that is no point: %v, want ErrWeakKey", err)
	}
}

// With a key of small order crypto/ed25519 takes one signature for many
// messages: R is the identity, S is 0.
func TestForgeryUnderWeakKeyIsRefused(t *testing.T) {
	k := keyOf(t, weakPoints[2])
	var sig hypercore.Signature
	sig[0] = 1
	message := []byte("anything")
	if !ed25519.Verify(k[:], message, sig[:]) {
		t.Fatal("crypto/ed25519 refuses the forgery, so the test shows nothing")
	}
	if err := k.Verify(message, sig); !errors.Is(err, hypercore.ErrWeakKey) {
		t.Errorf("Verify: %v, want ErrWeakKey", err)
	}
}

// Who holds a secret key can make a signature with an R of small order that
// crypto/ed25519 takes and libsodium does not: R the identity, S = h*a.
func TestSmallOrderRIsRefused(t *testing.T) {
	pair := pairOf(9)
	message := []byte("a message")
	var sig hypercore.Signature
	sig[0] = 1
	copy(sig[32:], smallRScalar(t, pair, sig[:32], message))
	if !ed25519.Verify(pair.Public[:], message, sig[:]) {
		t.Fatal("crypto/ed25519 refuses the signature, so the test shows nothing")
	}
	if err := pair.Public.Verify(message, sig); !errors.Is(err, hypercore.ErrBadSignature) {
		t.Errorf("Verify: %v, want ErrBadSignature", err)
	}
	for _, text := range weakPoints {
		r := keyOf(t, text)
		copy(sig[:], r[:])
		if err := pair.Public.Verify(message, sig); !errors.Is(err, hypercore.ErrBadSignature) {
			t.Errorf("Verify with R %s: %v, want ErrBadSignature", text, err)
		}
	}
}

func TestVerifyRefusesEveryFlippedBit(t *testing.T) {
	pair := pairOf(9)
	message := []byte("a message")
	sig := pair.Sign(message)
	if err := pair.Public.Verify(message, sig); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	for i := range 8 * len(sig) {
		bad := sig
		bad[i/8] ^= 1 << (i % 8)
		if err := pair.Public.Verify(message, bad); !errors.Is(err, hypercore.ErrBadSignature) {
			t.Errorf("Verify with bit %d of the signature flipped: %v", i, err)
		}
	}
	// S plus the order of the group is the same scalar in another encoding.
	high := sig
	addOrder(high[32:])
	if err := pair.Public.Verify(message, high); !errors.Is(err, hypercore.ErrBadSignature) {
		t.Errorf("Verify with S over the order: %v", err)
	}
}

// addOrder adds the order of the group to the scalar s, little endian.
func addOrder(s []byte) {
	order, _ := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	carry := 0
	for i := range s {
		carry += int(s[i]) + int(order[i])
		s[i] = byte(carry)
		carry >>= 8
	}
}

func TestOpenRefusesForeignKeyPair(t *testing.T) {
	st := storage.NewMemory()
	if _, err := hypercore.Open(st, pairOf(1).Public, pairOf(2)); err == nil {
		t.Error("Open with the key pair of another feed: no error")
	}
	f := mustOpen(t, st, pairOf(1), false)
	if err := f.Unlock(pairOf(2)); err == nil || f.Writable() {
		t.Errorf("Unlock with the key pair of another feed: %v", err)
	}
	if err := f.Unlock(hypercore.KeyPair{Public: f.Key()}); err == nil {
		t.Error("Unlock without a secret key: no error")
	}
	if err := f.Unlock(pairOf(1)); err != nil || !f.Writable() {
		t.Errorf("Unlock: %v", err)
	}
	mustAppend(t, f, []byte("x"))
}

// smallRScalar returns S = H(R || A || message) * a.
func smallRScalar(t *testing.T, pair hypercore.KeyPair, r, message []byte) []byte {
	t.Helper()
	a, err := new(edwards25519.Scalar).SetBytesWithClamping(sha512Of(pair.SecretKey()[:32])[:32])
	if err != nil {
		t.Fatal(err)
	}
	h, err := new(edwards25519.Scalar).SetUniformBytes(sha512Of(r, pair.Public[:], message))
	if err != nil {
		t.Fatal(err)
	}
	return new(edwards25519.Scalar).Multiply(h, a).Bytes()
}
