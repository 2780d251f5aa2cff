package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// poolBytes is about how much the different blocks of a task have together: few
// enough that they stay where the processor has them at hand, and that nobody is
// measured while it makes them.
const poolBytes = 4 << 20

// maxPool is how many different blocks there are at the most.
const maxPool = 10_000

// poolCount returns how many different blocks of that size are used.
func poolCount(blocks, size int) int {
	return max(1, min(poolBytes/max(size, 1), maxPool, blocks))
}

// newPool returns t.Pool random blocks, the same for the same task. Nobody
// changes them.
func newPool(t task) [][]byte {
	rng := rand.NewChaCha8([32]byte{'b', 'e', 'n', 'c', 'h'})
	pool := make([][]byte, t.Pool)
	for i := range pool {
		pool[i] = make([]byte, t.Size)
		rng.Read(pool[i])
	}
	return pool
}

// orderName is the file beside what is read that says in which order: the number
// of a block a line.
const orderName = "order"

// writeOrder writes a random order of all blocks, the same for all contenders.
func writeOrder(dir string, blocks int) error {
	var b strings.Builder
	for _, seq := range rand.New(rand.NewPCG(1, 2)).Perm(blocks) {
		fmt.Fprintln(&b, seq)
	}
	return os.WriteFile(filepath.Join(dir, orderName), []byte(b.String()), 0o600)
}

func readOrder(dir string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(dir, orderName))
	if err != nil {
		return nil, err
	}
	var order []int
	for line := range strings.Lines(string(text)) {
		seq, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		order = append(order, seq)
	}
	return order, nil
}

// readAll measures reads in that order, after one of every block if the task
// says so.
func readAll(t task, m *meter, order []int, read func(seq int) error) error {
	if t.Warm {
		for seq := range order {
			if err := read(seq); err != nil {
				return err
			}
		}
	}
	m.start()
	for i := range t.Reads {
		if err := read(order[i%len(order)]); err != nil {
			return err
		}
	}
	return m.stop(t.Reads, nil)
}
