package wire

import "fmt"

// FormatError says that bytes from the peer break the format or a limit. The
// peer is at fault; nothing more can be read from its stream.
type FormatError struct {
	Type   string // "frame", "control" or the name of the message
	Field  string // "length", "header" or the name of the message's field
	Reason string // what is wrong; holds no content of the message
}

// Error returns the parts in one line.
func (e *FormatError) Error() string {
	return fmt.Sprintf("wire: bad %s, %s: %s", e.Type, e.Field, e.Reason)
}
