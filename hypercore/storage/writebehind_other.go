//go:build !linux

package storage

import "github.com/cockroachdb/pebble/v2/vfs"

// beginWrite does nothing: here a sync alone brings bytes to the disk.
func beginWrite(vfs.File, int64, int64) {}

// dropCache does nothing: here reads may be answered from memory.
func dropCache(vfs.File) {}
