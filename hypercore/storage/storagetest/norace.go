//go:build !race

package storagetest

const (
	randomOperations = 80
	nodeStep         = 1 // one node in so many is compared
)
