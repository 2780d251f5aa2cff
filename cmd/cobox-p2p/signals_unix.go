//go:build !windows

package main

import (
	"os"
	"syscall"
)

// endSignals ask for an orderly end.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}
