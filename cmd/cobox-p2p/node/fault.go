package node

import (
	"errors"
	"fmt"
)

// UseError says that what was asked for can't be, however often it is asked: an
// unknown space, a name in use, a text that is no secret. The command line ends
// with 2 for it.
type UseError struct{ Message string }

func (e *UseError) Error() string { return e.Message }

func useErrorf(format string, args ...any) error {
	return &UseError{fmt.Sprintf(format, args...)}
}

// ErrClosed is returned while the node shuts down.
var ErrClosed = errors.New("the daemon is shutting down")
