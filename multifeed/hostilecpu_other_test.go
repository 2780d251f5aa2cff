//go:build !unix

package multifeed

import "time"

// cpuTime returns nothing where it isn't known.
func cpuTime() time.Duration { return 0 }
