package multifeed

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/btcutil/bech32"
)

// Prefixes of the bech32m text forms, each of 32 bytes.
const (
	prefixOpen   = "cbxopen"   // an open address
	prefixSigned = "cbxaddr"   // a signed address, for seeders
	prefixSecret = "cbxsecret" // the secret of a signed space, for members
)

// Lengths of the text forms in hex digits.
const (
	hexAddress   = 64  // an open address
	hexAccessKey = 128 // address and encryption key of an open space
)

// maxText is more bytes than any text form has.
const maxText = 256

// What ParseAccess returns, always without a part of the text.
var (
	errTextLength   = errors.New("multifeed: space text has the wrong length")
	errTextPrefix   = errors.New("multifeed: space text begins with none of cbxopen1, cbxaddr1 and cbxsecret1, and is not 64 or 128 hex digits")
	errTextCase     = errors.New("multifeed: space text mixes upper and lower case")
	errTextLetter   = errors.New("multifeed: space text holds a character that no space text has")
	errTextChecksum = errors.New("multifeed: space text has a wrong checksum: it is mistyped or cut off")
	errTextPadding  = errors.New("multifeed: space text has padding bits that are not 0")
	errTextHex      = errors.New("multifeed: space text of this length must be hex digits only")
)

// Access is an address and what else of its space's keys is known.
type Access struct {
	Address
	EncryptionKey *EncryptionKey // nil for who can't read, as seeders
	Secret        *Secret        // nil for who can't admit feeds to a signed space
}

// ParseAccess returns what a text form says: a bech32m form in one case, 64 hex
// digits as an open address, or 128 as the legacy access key of an open space.
// White space around it is dropped. A signed address is checked. Errors never
// hold a part of the text. See interop/spec/keys.md, "Text forms".
func ParseAccess(text string) (Access, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxText {
		return Access{}, errTextLength
	}
	switch prefix, _, _ := strings.Cut(strings.ToLower(text), "1"); prefix {
	case prefixOpen, prefixSigned, prefixSecret:
		key, err := decodeText(text)
		if err != nil {
			return Access{}, err
		}
		return keyAccess(prefix, key)
	}
	if len(text) == hexAddress || len(text) == hexAccessKey {
		return hexAccess(text)
	}
	return Access{}, errTextPrefix
}

// keyAccess returns what the 32 bytes under a known prefix mean.
func keyAccess(prefix string, key [32]byte) (Access, error) {
	switch prefix {
	case prefixOpen:
		return Access{Address: Address{KindOpen, key}}, nil
	case prefixSecret:
		secret := Secret(key)
		encryption := secret.EncryptionKey()
		return Access{secret.Address(), &encryption, &secret}, nil
	}
	address := Address{KindSigned, key}
	if err := address.Check(); err != nil {
		return Access{}, err
	}
	return Access{Address: address}, nil
}

// decodeText returns the 32 bytes of a bech32m text. The library's errors hold
// parts of the text, so none is passed on.
func decodeText(text string) (key [32]byte, err error) {
	if text != strings.ToLower(text) && text != strings.ToUpper(text) {
		return key, errTextCase
	}
	_, data, version, err := bech32.DecodeGeneric(text)
	var (
		letter  bech32.ErrInvalidCharacter
		charset bech32.ErrNonCharsetChar
		length  bech32.ErrInvalidLength
		index   bech32.ErrInvalidSeparatorIndex
	)
	switch {
	case errors.As(err, &letter), errors.As(err, &charset):
		return key, errTextLetter
	case errors.As(err, &length), errors.As(err, &index):
		return key, errTextLength
	case err != nil, version != bech32.VersionM:
		return key, errTextChecksum
	}
	raw, err := bech32.ConvertBits(data, 5, 8, false)
	if err != nil {
		return key, errTextPadding
	}
	if len(raw) != len(key) {
		return key, errTextLength
	}
	return [32]byte(raw), nil
}

func hexAccess(text string) (Access, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return Access{}, errTextHex
	}
	access := Access{Address: Address{KindOpen, [32]byte(raw)}}
	if len(text) == hexAccessKey {
		key := EncryptionKey(raw[32:])
		access.EncryptionKey = &key
	}
	return access, nil
}

// String returns the address's text form. It opens the door to the space, so it
// belongs in what a user asked for, never in a log.
func (a Address) String() string {
	switch a.Kind {
	case KindOpen:
		return encodeText(prefixOpen, a.Key)
	case KindSigned:
		return encodeText(prefixSigned, a.Key)
	}
	return "address of no known kind"
}

// FormatSecret returns the text form that makes its holder a member.
func FormatSecret(secret Secret) string { return encodeText(prefixSecret, secret) }

// FormatAccessKey returns the legacy access key of an open space: 128 hex
// digits that make their holder a member. Signed spaces have none, their form is
// that of FormatSecret.
func FormatAccessKey(address Address, key EncryptionKey) (string, error) {
	if address.Kind != KindOpen {
		return "", fmt.Errorf("multifeed: a space that is %s has no access key", address.Kind)
	}
	return hex.EncodeToString(address.Key[:]) + hex.EncodeToString(key[:]), nil
}

func encodeText(prefix string, key [32]byte) string {
	data, err := bech32.ConvertBits(key[:], 8, 5, true)
	if err != nil {
		panic("multifeed: " + err.Error())
	}
	text, err := bech32.EncodeM(prefix, data)
	if err != nil {
		panic("multifeed: " + err.Error())
	}
	return text
}
