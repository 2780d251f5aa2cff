//go:build race

package storagetest

// Under the race detector Pebble notes a stack for each table that it looks into,
// which takes longer than all the rest of a read.
const (
	randomOperations = 40
	nodeStep         = 5 // one node in so many is compared
)
