// Package multifeed is one space: its address and keys, the set of its feeds
// and their replication with one peer over any byte stream. It knows nothing of
// libp2p. The formats are in interop/spec/keys.md and interop/spec/handshake.md.
package multifeed

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Kind tells the two kinds of spaces apart. Its byte is part of the handshake's
// transcript.
type Kind byte

// The kinds.
const (
	// KindOpen: open spaces are those of the legacy stack: who knows the address may add
	// feeds.
	KindOpen Kind = 'o'
	// KindSigned: signed spaces hold only feeds that the address key admitted.
	KindSigned Kind = 's'
)

// String returns "open" or "signed".
func (k Kind) String() string {
	switch k {
	case KindOpen:
		return "open"
	case KindSigned:
		return "signed"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// Address is what finds, fetches and verifies a space. Who knows it is let in,
// so it is never logged; Discovery is what logs show. Addresses are comparable.
type Address struct {
	Kind Kind
	Key  [32]byte // random, or the Ed25519 public key of a signed space
}

// NewOpenAddress makes the address of a new open space.
func NewOpenAddress() Address {
	a := Address{Kind: KindOpen}
	rand.Read(a.Key[:])
	return a
}

// Discovery returns the space's discovery key, the BLAKE2b-256 hash of
// "hypercore" keyed with the address.
func (a Address) Discovery() hypercore.DiscoveryKey { return hypercore.Key(a.Key).Discovery() }

// Check returns an error for an address of no known kind, and one that wraps
// hypercore.ErrWeakKey for a signed address that is no strong public key. Every
// address from outside is checked before it is used.
func (a Address) Check() error {
	switch a.Kind {
	case KindOpen:
		return nil
	case KindSigned:
		if err := hypercore.Key(a.Key).Check(); err != nil {
			return fmt.Errorf("multifeed: signed address: %w", err)
		}
		return nil
	}
	return errors.New("multifeed: address is of no known kind")
}

// Tag returns the name of the space in what the peer with the ID sender sends
// to the peer with the ID receiver. Only who knows the address can make or
// recognise it. The IDs are the binary ones. See interop/spec/keys.md, "Tags".
func (a Address) Tag(sender, receiver []byte) [32]byte {
	return hypercore.KeyedHash(a.Key[:], []byte("cobox/1 space"), lp(sender), lp(receiver))
}

// lp returns b behind its length as 8 bytes, big endian.
func lp(b []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(b)), uint64(len(b))), b...)
}

// Secret is the one secret of a signed space, from which everything else of it
// is derived. Members hold it, seeders don't. It is text only in FormatSecret.
type Secret [32]byte

// NewSecret makes the secret of a new signed space.
func NewSecret() Secret {
	var s Secret
	rand.Read(s[:])
	return s
}

// EncryptionKey returns the space's encryption key.
func (s Secret) EncryptionKey() EncryptionKey {
	return hypercore.KeyedHash(s[:], []byte("cobox/1 encryption"))
}

// Address returns the space's address.
func (s Secret) Address() Address {
	return Address{Kind: KindSigned, Key: s.addressKey().Public}
}

func (s Secret) addressKey() hypercore.KeyPair {
	return hypercore.NewKeyPair(hypercore.KeyedHash(s[:], []byte("cobox/1 address")))
}

// Format keeps the secret out of every log.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "secret of a space") }

// MarshalText fails: nothing stores or logs a secret by accident.
func (s Secret) MarshalText() ([]byte, error) { return nil, errRedacted }

// EncryptionKey opens and seals the blocks of a space. It is text only in
// FormatAccessKey.
type EncryptionKey [32]byte

// NewEncryptionKey makes the encryption key of a new open space.
func NewEncryptionKey() EncryptionKey {
	var k EncryptionKey
	rand.Read(k[:])
	return k
}

// BlockKey returns the key that seals the blocks of one feed in a space of the
// kind: in open spaces the encryption key itself, in signed ones a key of the
// feed's own, so that members' blocks can't be replayed in another feed. See
// interop/spec/keys.md, "Content encryption".
func (k EncryptionKey) BlockKey(kind Kind, feed hypercore.Key) [32]byte {
	if kind == KindOpen {
		return k
	}
	return hypercore.KeyedHash(k[:], []byte("cobox/1 block"), feed[:])
}

// Format keeps the key out of every log.
func (k EncryptionKey) Format(f fmt.State, _ rune) { io.WriteString(f, "encryption key of a space") }

// MarshalText fails: nothing stores or logs a key by accident.
func (k EncryptionKey) MarshalText() ([]byte, error) { return nil, errRedacted }

var errRedacted = errors.New("multifeed: secrets have no text form but that of their Format function")
