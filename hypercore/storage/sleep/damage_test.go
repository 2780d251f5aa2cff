package sleep

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// wantBlock returns a block of the vectors' feed.
func wantBlock(t testing.TB, seq uint64) []byte {
	return unhex(t, vectors.Feed.Steps[seq].Block)
}

// rescued opens a damaged folder of the vectors' feed and takes over what
// verifies. It fails when anything wrong was stored, or lost without being named.
func rescued(t *testing.T, dir string, intact bool) (r Report, ok bool) {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		if !errors.Is(err, ErrNoFeed) {
			t.Errorf("Open: %v", err)
		}
		return r, false
	}
	defer f.Close()
	st := storage.NewMemory()
	if r, err = Import(background, st, f, nil); err != nil {
		t.Errorf("Import: %v", err)
		return r, false
	}
	if r.Head.Length == 0 {
		if !intact && len(r.Damage) == 0 {
			t.Errorf("nothing was taken over, and nothing is named")
		}
		return r, true
	}
	dst := reopened(t, st, f.Key())
	if a, err := dst.Audit(background); err != nil || !a.Valid() {
		t.Errorf("audit: %+v, %v", a, err)
	}
	for seq := range uint64(9) {
		if !dst.Has(hypercore.Span{Start: seq, Count: 1}) {
			if len(r.Damage) == 0 {
				t.Errorf("block %d is lost and not named", seq)
			}
			continue
		}
		if b, err := dst.Block(background, seq); err != nil || !bytes.Equal(b, wantBlock(t, seq)) {
			t.Errorf("block %d = %x, %v", seq, b, err)
		}
	}
	return r, true
}

// places returns where to damage a file: everywhere, or of a bitfield around the
// bytes that are set and at some others.
func places(name string, content []byte) (at []int) {
	for i, c := range content {
		if name != bitfieldFile || c != 0 || i > 0 && content[i-1] != 0 || i%397 == 0 {
			at = append(at, i)
		}
	}
	return at
}

func TestEveryByteFlipped(t *testing.T) {
	t.Parallel()
	// most is how many blocks one flipped byte of a file may cost, in a feed
	// that was appended to one by one, and in one of a single batch.
	most := map[string][2]uint64{
		keyFile: {0, 0}, secretFile: {0, 0}, treeFile: {0, 0}, bitfieldFile: {0, 0},
		signaturesFile: {1, 9}, dataFile: {1, 1},
	}
	for kind, files := range []map[string]string{vectors.Feed.Files, vectors.FeedBatch.Files} {
		dir := layFiles(t, files)
		for name, limit := range most {
			path := filepath.Join(dir, name)
			content := unhex(t, files[name])
			for n, i := range places(name, content) {
				if (kind == 1 || name == signaturesFile && i < len(content)-64) && n%7 != 0 || n%stride != 0 {
					continue // all bytes of one kind are enough
				}
				bad := bytes.Clone(content)
				bad[i] ^= 1 << rand.IntN(8)
				os.WriteFile(path, bad, 0o600)
				r, ok := rescued(t, dir, false)
				if !ok || r.Blocks+limit[kind] < 9 {
					t.Errorf("feed %d, %s, byte %d from %x to %x: %d blocks, damage %v; want at least %d",
						kind, name, i, content[i], bad[i], r.Blocks, r.Damage, 9-limit[kind])
				}
			}
			os.WriteFile(path, content, 0o600)
		}
	}
}

func TestCutOffAtEveryLength(t *testing.T) {
	t.Parallel()
	for _, files := range []map[string]string{vectors.Feed.Files, vectors.FeedBatch.Files} {
		dir := layFiles(t, files)
		for name := range files {
			path := filepath.Join(dir, name)
			content := unhex(t, files[name])
			blocks := uint64(0)
			for i, n := range append(places(name, content), len(content)) {
				if entry := (n - headerSize) % 8; n < len(content) && (n > headerSize && entry > 1 || i%stride != 0) {
					continue // within an entry
				}
				os.WriteFile(path, content[:n], 0o600)
				r, ok := rescued(t, dir, false)
				if !ok {
					t.Errorf("%s of %d bytes can't be opened", name, n)
				}
				if r.Blocks < blocks {
					t.Errorf("%s of %d bytes: %d blocks, fewer than when it was shorter", name, n, r.Blocks)
				}
				blocks = r.Blocks
			}
			if blocks != 9 {
				t.Errorf("%s: %d blocks of the whole file, want 9", name, blocks)
			}
		}
	}
}

func TestMissingFiles(t *testing.T) {
	want := map[string]uint64{keyFile: 9, secretFile: 9, treeFile: 0, bitfieldFile: 9, signaturesFile: 0, dataFile: 3}
	for name, blocks := range want {
		dir := layFiles(t, vectors.Feed.Files)
		os.Remove(filepath.Join(dir, name))
		r, ok := rescued(t, dir, name == secretFile)
		if name == dataFile {
			blocks = r.Blocks // the empty ones
		}
		if !ok || r.Blocks != blocks {
			t.Errorf("without %s: %d blocks, damage %v, want %d blocks", name, r.Blocks, r.Damage, blocks)
		}
	}
	dir := layFiles(t, vectors.Feed.Files)
	os.Remove(filepath.Join(dir, keyFile))
	os.Remove(filepath.Join(dir, secretFile))
	if _, err := Open(dir); !errors.Is(err, ErrNoFeed) {
		t.Errorf("without any key: %v, want ErrNoFeed", err)
	}
}

func TestFilesThatAreTooLong(t *testing.T) {
	dir := layFiles(t, vectors.Feed.Files)
	for name := range vectors.Feed.Files {
		edit(t, dir, name, func(b []byte) []byte { return append(b, bytes.Repeat([]byte{0xa5}, 5000)...) })
	}
	if r, ok := rescued(t, dir, true); !ok || r.Blocks != 9 {
		t.Errorf("%d blocks, damage %v; want 9", r.Blocks, r.Damage)
	}
}

func TestOneNodeDamagedLosesNoBlock(t *testing.T) {
	const length = 37
	whole := written(t, pairOf(1), length, nil)
	tree, _ := os.ReadFile(filepath.Join(whole, treeFile))
	for index := range uint64(2 * length) {
		at := headerSize + treeEntry*int(index)
		if at >= len(tree) || allZero(tree[at:at+treeEntry]) {
			continue
		}
		for name, damage := range map[string]func([]byte){
			"hash": func(e []byte) { e[5] ^= 4 },
			"size": func(e []byte) { e[39] ^= 1 },
			"huge": func(e []byte) { e[32] = 0xff },
			"zero": func(e []byte) { clear(e) },
		} {
			bad := bytes.Clone(tree)
			damage(bad[at : at+treeEntry])
			edit(t, whole, treeFile, func([]byte) []byte { return bad })
			src := mustOpen(t, whole)
			st := storage.NewMemory()
			r, err := Import(background, st, src, nil)
			if err != nil || r.Blocks != length || r.Lost != 0 || r.Recomputed == 0 {
				t.Errorf("%s of node %d: %+v, %v", name, index, r, err)
				continue
			}
			checkBlocks(t, reopened(t, st, src.Key()), length, all)
		}
	}
}

func TestManyDamagedAtRandom(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	const length = 120
	dir := written(t, pairOf(1), length, nil)
	saved := map[string][]byte{}
	for _, name := range []string{treeFile, dataFile, bitfieldFile} {
		saved[name], _ = os.ReadFile(filepath.Join(dir, name))
	}
	for round := range 40 {
		for name, b := range saved {
			bad := bytes.Clone(b)
			for range rng.IntN(6) {
				bad[rng.IntN(min(len(bad), 8000))] ^= byte(1 + rng.IntN(255))
			}
			os.WriteFile(filepath.Join(dir, name), bad, 0o600)
		}
		src, st := mustOpen(t, dir), storage.NewMemory()
		r, err := Import(background, st, src, nil)
		if err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		held := checkBlocks(t, reopened(t, st, src.Key()), length, nil)
		if held != r.Blocks || t.Failed() {
			t.Fatalf("seed %d, round %d: %d held, %+v", seed, round, held, r)
		}
		if r.Blocks < length && len(r.Damage) == 0 {
			t.Fatalf("seed %d, round %d: %d blocks, nothing named", seed, round, r.Blocks)
		}
	}
}

func TestOldPageSize(t *testing.T) {
	dir := written(t, pairOf(1), 9000, nil)
	edit(t, dir, bitfieldFile, func(b []byte) []byte {
		old := header{0, oldPageSize, ""}.appendTo(nil)
		for p := b[headerSize:]; len(p) > 0; p = p[pageSize:] {
			old = append(old, p[:oldPageSize]...)
		}
		return old
	})
	src := mustOpen(t, dir)
	if held := src.Held(); len(held) != 1 || held[0].Count != 9000 || len(src.Damage()) > 0 {
		t.Errorf("held %v, damage %v, want 9000 blocks", held, src.Damage())
	}
}

func TestSignaturesWithoutLength(t *testing.T) {
	pair := pairOf(1)
	dir := written(t, pair, 5, nil)
	src := mustOpen(t, dir)
	sig := pair.Sign(src.head.RootHash[:])
	src.Close()
	edit(t, dir, signaturesFile, func(b []byte) []byte { return append(b[:len(b)-len(sig)], sig[:]...) })
	if _, err := Open(dir); !errors.Is(err, ErrOldSignature) {
		t.Errorf("error %v, want ErrOldSignature", err)
	}
}

func TestStaticFeed(t *testing.T) {
	dir := written(t, pairOf(1), 5, nil)
	src := mustOpen(t, dir)
	hash := src.head.RootHash
	src.Close()
	os.Remove(filepath.Join(dir, secretFile))
	edit(t, dir, keyFile, func([]byte) []byte { return hash[:] })
	edit(t, dir, signaturesFile, func(b []byte) []byte { return b[:headerSize] })
	if _, err := Open(dir); !errors.Is(err, ErrStatic) {
		t.Errorf("error %v, want ErrStatic", err)
	}
}

func TestDamageListIsBounded(t *testing.T) {
	var l damages
	for i := range uint64(maxDamage + 1) {
		l.add(Damage{File: dataFile, Reason: BadBlock, Span: hypercore.Span{Start: 2 * i, Count: 1}})
		if want := min(int(i)+1, maxDamage); len(l.list) != want {
			t.Fatalf("%d listed after %d", len(l.list), i+1)
		}
	}
	if l.omitted != 1 {
		t.Errorf("%d omitted, want 1", l.omitted)
	}
}
