package node

import "io/fs"

// checkPrivate lets everything pass: a user's profile folder is private on
// Windows, and its access lists are not in the mode bits.
func checkPrivate(string, fs.FileInfo, string) error { return nil }
