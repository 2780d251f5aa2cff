//go:build race

package storage_test

// raceEnabled makes tests smaller: under the race detector Pebble notes a stack for
// each table that it looks into, which takes longer than all the rest of a read.
const raceEnabled = true

// sized is n, or a part of it under the race detector.
func sized(n int) int { return max(1, n/4) }
