//go:build race

package host

// manySpaces is more than any connection has streams for.
const manySpaces = 200
