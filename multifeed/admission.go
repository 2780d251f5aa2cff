package multifeed

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Admission is the address key's signature over a feed key: it makes the feed
// part of a signed space. See interop/spec/keys.md, "Admission".
type Admission hypercore.Signature

// Admit returns the admission of a feed to the space. It is the same each time.
func (s Secret) Admit(feed hypercore.Key) Admission {
	return Admission(s.addressKey().Sign(admitted(s.Address(), feed)))
}

// VerifyAdmission returns nil when the feed belongs to the signed space by this
// admission, which the address alone decides. Else its error wraps
// ErrNotAdmitted, and hypercore.ErrWeakKey or hypercore.ErrBadSignature where
// that is the cause.
func VerifyAdmission(address Address, feed hypercore.Key, admission Admission) error {
	if address.Kind != KindSigned {
		return fmt.Errorf("%w: the space is not signed", ErrNotAdmitted)
	}
	if feed == hypercore.Key(address.Key) {
		return fmt.Errorf("%w: its key is the address", ErrNotAdmitted)
	}
	err := feed.Check()
	if err == nil {
		err = hypercore.Key(address.Key).Check()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAdmitted, err)
	}
	return verifyAdmission(address, feed, admission)
}

// verifyAdmission is VerifyAdmission for keys that were checked.
func verifyAdmission(address Address, feed hypercore.Key, admission Admission) error {
	err := hypercore.Key(address.Key).VerifyChecked(admitted(address, feed), hypercore.Signature(admission))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAdmitted, err)
	}
	return nil
}

// admitted returns what an admission signs.
func admitted(address Address, feed hypercore.Key) []byte {
	const context = "cobox/1 admit"
	b := make([]byte, 0, len(context)+2*hypercore.KeySize)
	b = append(b, context...)
	b = append(b, address.Key[:]...)
	return append(b, feed[:]...)
}
