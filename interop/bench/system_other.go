//go:build !linux

package main

import (
	"errors"
	"os"
	"time"
)

// Where the system does not say, there is nothing to report: figures of 0 are
// left out of the table.

func cpuTime() time.Duration        { return 0 }
func processTime(int) time.Duration { return 0 }
func peakRSS(int) uint64            { return 0 }
func residentNow(int) uint64        { return 0 }
func descriptors(int) int           { return 0 }
func busyTime() time.Duration       { return 0 }
func loadAverage() float64          { return 0 }
func processor() string             { return "" }
func memorySize() uint64            { return 0 }
func kernel() string                { return "" }
func settle()                       {}
func tcpBytes() (in, out uint64)    { return 0, 0 }

// machineClock returns nanoseconds on a clock that all processes of the machine
// share.
func machineClock() int64 { return time.Now().UnixNano() }

// canDropCache says whether dropCache works here.
const canDropCache = false

func dropCache(string) error { return errors.ErrUnsupported }

// writeBehind does nothing: the sync at the end writes all.
func writeBehind(*os.File, int64, int64) error { return nil }

func dataSync(f *os.File) error { return f.Sync() }
