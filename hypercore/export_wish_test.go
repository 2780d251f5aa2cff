package hypercore

import (
	"context"
	"testing"
)

// For tests of what is asked for and of what is cleared.
const MaxClearSpans = maxClearSpans

// LockWriting keeps everybody from writing until UnlockWriting.
func (f *Feed) LockWriting(t testing.TB) {
	t.Helper()
	if err := f.lockWriting(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// UnlockWriting ends LockWriting.
func (f *Feed) UnlockWriting() { f.unlockWriting() }

// PretendLength makes the feed's head claim a length.
func (f *Feed) PretendLength(length uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.head.Length = length
}
