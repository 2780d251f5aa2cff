package storage

import (
	"bytes"
	"math/big"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// skipWidth is how many bytes of a key count when the end of a damaged part
	// of the index is looked for. Of keys that agree in these all are skipped.
	skipWidth = 96
	// skipRounds bounds how closely the end is found, in halvings of what one
	// byte of the key makes. A read of a damaged block takes some 20 ms, because
	// Pebble looks for the bit that may have changed.
	skipRounds = 20
)

// behindDamage returns where keys can be read again, when there was an error at
// the first key from bad on. It goes on from bad in ever smaller steps, until
// one ends where nothing can be read, and halves the last one. It returns nil
// when there is nothing to be read below upper.
func (s *Store) behindDamage(bad, upper []byte) []byte {
	low, limit := keyNumber(bad), keyNumber(upper)
	if len(upper) == 0 {
		limit.Lsh(big.NewInt(1), 8*skipWidth)
	}
	readable := func(n *big.Int) bool { return n.Cmp(limit) >= 0 || s.readable(numberKey(n), upper) }
	high := limit
	for bits := 8 * (skipWidth - 1); bits >= 0; bits -= 8 {
		next := new(big.Int).Lsh(big.NewInt(1), uint(bits))
		if next.Add(next, low); !readable(next) {
			low = next
			break
		}
		high = next
	}
	for range skipRounds {
		middle := new(big.Int).Add(low, high)
		middle.Rsh(middle, 1)
		if middle.Cmp(low) <= 0 {
			break
		}
		if readable(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	if high.Cmp(limit) >= 0 {
		return nil
	}
	return numberKey(high)
}

// readable says whether the first key from lower on can be read, or none is
// there.
func (s *Store) readable(lower, upper []byte) bool {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return false
	}
	it.First()
	err = it.Error()
	return it.Close() == nil && err == nil
}

// keyNumber returns the first skipWidth bytes of the key as a number.
func keyNumber(key []byte) *big.Int {
	var wide [skipWidth]byte
	copy(wide[:], key)
	return new(big.Int).SetBytes(wide[:])
}

// numberKey is the inverse of keyNumber, without zeros at the end.
func numberKey(n *big.Int) []byte {
	return bytes.TrimRight(n.FillBytes(make([]byte, skipWidth)), "\x00")
}
