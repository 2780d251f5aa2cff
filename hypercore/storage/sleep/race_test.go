//go:build race

package sleep

// stride thins out the places that are damaged: the race detector makes each
// many times as dear.
const stride = 11
