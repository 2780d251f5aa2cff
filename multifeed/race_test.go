//go:build race

package multifeed

// raceDetector says that signatures cost some twenty times as much.
const raceDetector = true
