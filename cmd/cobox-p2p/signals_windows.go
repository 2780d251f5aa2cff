package main

import "os"

// endSignals ask for an orderly end.
var endSignals = []os.Signal{os.Interrupt}
