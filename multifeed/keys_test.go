package multifeed

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// The expected values below were computed without this code, with Python's
// hashlib and an independent Ed25519; interop/spec/keys.md lists them too.
const (
	vectorEncryption = "f2e75fadefec5115319f3e3fb95ea4f793760435e74a00c25ad20e4eac95e391"
	vectorAddress    = "79f6ae6c877423d1baa7dea7996c4176072ade2e3772fa59da34ea16a1a0468f"
	vectorDiscovery  = "1d991c67c56578d32ebd77c84c2382af4c85361eea3aabf165679fc63b5f3819"
	vectorFeed       = "ee93a4f66f8d16b819bb9beb9ffccdfcdc1412e87fee6a324c2a99a1e0e67148"
	vectorAdmission  = "d45541cbc9a90eb518525a1936ddf1cd6ac247a06688572734d61e1366f51901" +
		"67bff99d6ff4de959dacd55de09cbcc0dee31420e6788e885371386242006c08"
	vectorBlockKey      = "93998b5cc0d4b09ac15d6f133fb27f3e3ba7bea53378557aadfb462fae035df1"
	vectorOpenDiscovery = "2f6abd589c6890dc9f14efd7156701d24df33a3271471b553b8a095a22b53a18"
	vectorTag           = "bfe9f67909ef8fc9df6ca3b3dfa4e88a398ffddd193d7a9e0feab30d7b42eb90"
)

// count returns the 32 bytes first, first+1, ...
func count(first byte) (b [32]byte) {
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

var (
	testSecret = Secret(count(0))
	testFeed   = hypercore.NewKeyPair([32]byte([]byte(strings.Repeat("F", 32)))).Public
	peerA      = []byte("\x12\x20" + strings.Repeat("\xaa", 32))
	peerB      = []byte("\x00\x24" + strings.Repeat("\xbb", 36))
)

func wantHex[B ~[32]byte](t *testing.T, what string, got B, want string) {
	t.Helper()
	if b := [32]byte(got); hex.EncodeToString(b[:]) != want {
		t.Errorf("%s = %x, want %s", what, b, want)
	}
}

func TestDerivations(t *testing.T) {
	address, key := testSecret.Address(), testSecret.EncryptionKey()
	wantHex(t, "encryption key", key, vectorEncryption)
	wantHex(t, "address", address.Key, vectorAddress)
	wantHex(t, "discovery key", address.Discovery(), vectorDiscovery)
	wantHex(t, "feed key", testFeed, vectorFeed)
	wantHex(t, "block key", key.BlockKey(KindSigned, testFeed), vectorBlockKey)
	wantHex(t, "block key of an open space", key.BlockKey(KindOpen, testFeed), vectorEncryption)
	wantHex(t, "tag", address.Tag(peerA, peerB), vectorTag)
	open := Address{KindOpen, count(0x80)}
	wantHex(t, "discovery key of an open space", open.Discovery(), vectorOpenDiscovery)
	if secret, key := NewSecret(), NewEncryptionKey(); address.Kind != KindSigned || secret == NewSecret() || key == NewEncryptionKey() {
		t.Error("wrong kind, or keys that aren't random")
	}
	if a := NewOpenAddress(); a.Kind != KindOpen || a == NewOpenAddress() {
		t.Error("open addresses of the wrong kind, or not random")
	}
}

// A tag has one direction and can't be shifted between the IDs.
func TestTagIsDirected(t *testing.T) {
	a := testSecret.Address()
	tags := map[[32]byte]string{}
	for name, tag := range map[string][32]byte{
		"forth": a.Tag(peerA, peerB),
		"back":  a.Tag(peerB, peerA),
		"shift": a.Tag(peerA[:33], append([]byte{peerA[33]}, peerB...)),
		"other": NewOpenAddress().Tag(peerA, peerB),
	} {
		if same, ok := tags[tag]; ok {
			t.Errorf("tags %s and %s are the same", name, same)
		}
		tags[tag] = name
	}
}

func TestAddressCheck(t *testing.T) {
	if err := testSecret.Address().Check(); err != nil {
		t.Error(err)
	}
	if err := (Address{KindOpen, [32]byte{1}}).Check(); err != nil {
		t.Errorf("open address that is no point: %v", err)
	}
	if err := (Address{KindSigned, [32]byte{1}}).Check(); !errors.Is(err, hypercore.ErrWeakKey) {
		t.Errorf("signed address of small order: %v", err)
	}
	if err := (Address{}).Check(); err == nil {
		t.Error("the zero address passed")
	}
}

func TestAdmission(t *testing.T) {
	address, admission := testSecret.Address(), testSecret.Admit(testFeed)
	if got := hex.EncodeToString(admission[:]); got != vectorAdmission {
		t.Errorf("admission = %s, want %s", got, vectorAdmission)
	}
	if err := VerifyAdmission(address, testFeed, admission); err != nil {
		t.Error(err)
	}
	for i := range admission {
		bad := admission
		bad[i] ^= 1
		if err := VerifyAdmission(address, testFeed, bad); !errors.Is(err, ErrNotAdmitted) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	weak := hypercore.Key{1}
	self := hypercore.Key(address.Key)
	tests := map[string]struct {
		address   Address
		feed      hypercore.Key
		admission Admission
		cause     error
	}{
		"open space":    {Address{KindOpen, address.Key}, testFeed, admission, ErrNotAdmitted},
		"other feed":    {address, hypercore.NewKeyPair([32]byte{1}).Public, admission, hypercore.ErrBadSignature},
		"other space":   {Secret{1}.Address(), testFeed, admission, hypercore.ErrBadSignature},
		"feed is space": {address, self, testSecret.Admit(self), ErrNotAdmitted},
		"weak feed":     {address, weak, testSecret.Admit(weak), hypercore.ErrWeakKey},
		"weak space":    {Address{KindSigned, weak}, testFeed, admission, hypercore.ErrWeakKey},
	}
	for name, tt := range tests {
		err := VerifyAdmission(tt.address, tt.feed, tt.admission)
		if !errors.Is(err, ErrNotAdmitted) || !errors.Is(err, tt.cause) {
			t.Errorf("%s: %v, want %v", name, err, tt.cause)
		}
	}
}

// No verb and no encoder shows a secret.
func TestSecretsAreRedacted(t *testing.T) {
	key := EncryptionKey(testSecret)
	access := Access{testSecret.Address(), &key, &testSecret}
	for _, v := range []any{testSecret, &testSecret, key, &key, access, &access, []any{key, testSecret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			got := fmt.Sprintf(verb, v)
			for _, part := range []string{"0a0b0c", "10 11 12", "0xa, 0xb", "\n\v\f", `\n\v\f`} {
				if strings.Contains(got, part) {
					t.Errorf("%s of %T shows the secret: %s", verb, v, got)
				}
			}
		}
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("%T was encoded as %s", v, b)
		}
	}
}
