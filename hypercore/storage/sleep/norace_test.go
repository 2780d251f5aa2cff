//go:build !race

package sleep

const stride = 1
