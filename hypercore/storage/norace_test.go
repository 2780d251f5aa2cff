//go:build !race

package storage_test

const raceEnabled = false

func sized(n int) int { return n }
