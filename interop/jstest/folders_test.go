package jstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
)

// step is what folders.js does to a feed; see there.
type step struct {
	Append []int     `json:"append,omitempty"`
	Clear  *[2]int   `json:"clear,omitempty"`
	Fetch  *fetching `json:"fetch,omitempty"`
}

type fetching struct {
	From   string `json:"from"`
	Blocks []int  `json:"blocks"`
}

// judged is what the original says of a feed.
type judged struct {
	Key                      string
	Length, ByteLength, Held uint64
	Writable                 bool
	Audit                    *audit // nil: too many blocks
	Digest                   string
}

type audit struct{ Valid, Invalid uint64 }

// maxAudited is how many blocks of a feed the original shall audit: it takes
// about a millisecond for each.
const maxAudited = 9000

// check fails unless all that the original holds is valid.
func (j judged) check(t *testing.T) {
	t.Helper()
	if j.Audit != nil && *j.Audit != (audit{j.Held, 0}) || j.Audit == nil && j.Held <= maxAudited {
		t.Errorf("the original's audit: %+v of %d", j.Audit, j.Held)
	}
}

// folders runs one command of folders.js.
func folders(ctx context.Context, t *testing.T, command string, options map[string]any, result any) {
	t.Helper()
	out, err := foldersCommand(ctx, t, command, options).Output()
	if err != nil {
		stderr := ""
		if e, ok := err.(*exec.ExitError); ok {
			stderr = string(e.Stderr)
		}
		t.Fatalf("folders.js: %v\n%s", err, stderr)
	}
	if err := json.Unmarshal(out, result); err != nil {
		t.Fatalf("folders.js: %v in %.200q", err, out)
	}
}

func foldersCommand(ctx context.Context, t *testing.T, command string, options map[string]any) *exec.Cmd {
	t.Helper()
	options["command"] = command
	in, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, nodePath(t), "folders.js")
	cmd.Dir, cmd.Stdin = program, bytes.NewReader(in)
	return cmd
}

// folderBlock returns the block that folders.js appends.
func folderBlock(seq uint64, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(int(seq)*31 + i*7 + i>>8)
	}
	return b
}

// digestOf returns what folders.js says of the blocks that f holds.
func digestOf(t *testing.T, f *hypercore.Feed) (held uint64, digest string) {
	t.Helper()
	h := sha256.New()
	for seq := range f.Length() {
		if !f.Has(hypercore.Span{Start: seq, Count: 1}) {
			continue
		}
		held++
		b, err := f.Block(context.Background(), seq)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seq), uint64(len(b))))
		h.Write(b)
	}
	return held, hex.EncodeToString(h.Sum(nil))
}

// imported returns a store into which all of a folder went.
func imported(t *testing.T, src *sleep.Feed) *storage.Memory {
	t.Helper()
	st := storage.NewMemory()
	r, err := sleep.Import(context.Background(), st, src, nil)
	if err != nil || !r.Complete() || r.Unlisted > 0 || r.Recomputed > 0 {
		t.Fatalf("import: %+v, %v", r, err)
	}
	return st
}

// taken imports a folder and checks that it holds what the original says.
func taken(t *testing.T, src *sleep.Feed, want judged) *storage.Memory {
	t.Helper()
	st := imported(t, src)
	f, err := hypercore.Open(st, src.Key(), hypercore.KeyPair{})
	if err != nil {
		t.Fatal(err)
	}
	held, digest := digestOf(t, f)
	if f.Length() != want.Length || f.ByteLength() != want.ByteLength || held != want.Held || digest != want.Digest {
		t.Errorf("length %d, %d bytes, %d held, digest %s; want %+v", f.Length(), f.ByteLength(), held, digest, want)
	}
	if a, err := f.Audit(context.Background()); err != nil || !a.Valid() {
		t.Errorf("audit: %+v, %v", a, err)
	}
	want.check(t)
	return st
}

func openFolder(t *testing.T, dir string) *sleep.Feed {
	t.Helper()
	f, err := sleep.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if d := f.Damage(); len(d) > 0 {
		t.Errorf("damage: %v", d)
	}
	return f
}

const folderSeed = "0f0e0d0c0b0a09080706050403020100000102030405060708090a0b0c0d0e0f"

func folderPair(t *testing.T) hypercore.KeyPair {
	seed, err := hex.DecodeString(folderSeed)
	if err != nil {
		t.Fatal(err)
	}
	return hypercore.NewKeyPair([hypercore.SeedSize]byte(seed))
}

// sizesOf returns the sizes of count blocks; some are empty.
func sizesOf(count int) []int {
	sizes := make([]int, count)
	for i := range sizes {
		sizes[i] = i * 7 % 40
	}
	return sizes
}

// oneByOne appends each block alone.
func oneByOne(sizes []int) (steps []step) {
	for _, size := range sizes {
		steps = append(steps, step{Append: []int{size}})
	}
	return steps
}

// histories are the ways in which a feed can come about by appending.
func histories() map[string][]step {
	var many []step
	for range 50 {
		many = append(many, step{Append: sizesOf(2000)})
	}
	return map[string][]step{
		"one by one": oneByOne(sizesOf(60)),
		"batches":    {{Append: sizesOf(10)}, {Append: []int{1}}, {Append: sizesOf(30)}, {Append: []int{0, 0}}},
		"large":      {{Append: []int{3}}, {Append: []int{hypercore.MaxBlock}}, {Append: []int{4, 5}}},
		"two pages":  {{Append: sizesOf(8191)}, {Append: []int{1}}, {Append: sizesOf(100)}},
		"100,000":    many,
	}
}

func TestFeedsOfTheOriginalOnDisk(t *testing.T) {
	ctx := within(t)
	for name, steps := range histories() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "feed")
			var want judged
			folders(ctx, t, "feed", map[string]any{"dir": dir, "seed": folderSeed, "steps": steps, "audit": name != "100,000"}, &want)
			src := openFolder(t, dir)
			if !src.KeyPair().Valid() || src.Key().String() != want.Key {
				t.Errorf("key %s with key pair %v, want %s with one", src.Key(), src.KeyPair().Valid(), want.Key)
			}
			st := taken(t, src, want)

			// Written out again, each file is the same.
			w, err := sleep.Stored(st, src.Key())
			if err != nil {
				t.Fatal(err)
			}
			w.KeyPair, w.Signatures = src.KeyPair(), src.Signatures()
			out := filepath.Join(t.TempDir(), "out")
			if r, err := sleep.Write(ctx, out, w, nil); err != nil || !r.Complete() {
				t.Fatalf("write: %+v, %v", r, err)
			}
			sameFiles(t, dir, out)
		})
	}
}

// sameFiles fails unless both folders hold the same files.
func sameFiles(t *testing.T, want, got string) {
	t.Helper()
	files, err := os.ReadDir(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		a, errA := os.ReadFile(filepath.Join(want, file.Name()))
		b, errB := os.ReadFile(filepath.Join(got, file.Name()))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			at := 0
			for at < min(len(a), len(b)) && a[at] == b[at] {
				at++
			}
			t.Errorf("%s: %d bytes, want %d, differs at %d; %v %v", file.Name(), len(b), len(a), at, errA, errB)
		}
	}
}

func TestSparseAndClearedFeedsOfTheOriginal(t *testing.T) {
	ctx := within(t)
	whole := filepath.Join(t.TempDir(), "whole")
	var all judged
	folders(ctx, t, "feed", map[string]any{"dir": whole, "seed": folderSeed, "steps": oneByOne(sizesOf(200))}, &all)

	sparse := filepath.Join(t.TempDir(), "sparse")
	var want judged
	folders(ctx, t, "feed", map[string]any{"dir": sparse, "key": all.Key, "steps": []step{
		{Fetch: &fetching{From: whole, Blocks: []int{150, 3, 151, 199, 0, 64}}},
	}}, &want)
	if want.Length != 200 || want.Held != 6 || want.Writable {
		t.Fatalf("the original fetched %+v", want)
	}
	src := openFolder(t, sparse)
	if src.KeyPair().Valid() {
		t.Error("a reader's folder has a key pair")
	}
	taken(t, src, want)
	src.Close()

	folders(ctx, t, "feed", map[string]any{"dir": whole, "steps": []step{
		{Clear: &[2]int{5, 90}}, {Clear: &[2]int{190, 200}}, {Append: []int{7}},
	}}, &want)
	if want.Length != 201 || want.Held != 200-95+1 {
		t.Fatalf("the original cleared %+v", want)
	}
	taken(t, openFolder(t, whole), want)
}

// writtenFeed returns the folder of a feed that was written here, and what the
// original should find in it.
func writtenFeed(t *testing.T, sizes []int, held []hypercore.Span, pair hypercore.KeyPair, secret bool) (string, judged) {
	t.Helper()
	st := storage.NewMemory()
	f, err := hypercore.Open(st, pair.Public, pair)
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]byte
	for seq, size := range sizes {
		blocks = append(blocks, folderBlock(uint64(seq), size))
	}
	for batch := range slices.Chunk(blocks, 4096) {
		if _, err := f.Append(context.Background(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	w, err := sleep.Stored(st, pair.Public)
	if err != nil {
		t.Fatal(err)
	}
	if held != nil {
		w.Held = func(yield func(hypercore.Span, error) bool) {
			for _, s := range held {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
	if secret {
		w.KeyPair = pair
	}
	dir := filepath.Join(t.TempDir(), "feed")
	if r, err := sleep.Write(context.Background(), dir, w, nil); err != nil || !r.Complete() {
		t.Fatalf("write: %+v, %v", r, err)
	}
	count, digest := digestOf(t, f)
	return dir, judged{Key: pair.Public.String(), Length: f.Length(), ByteLength: f.ByteLength(), Held: count, Writable: secret, Digest: digest}
}

func TestOriginalReadsAndExtendsOurFolders(t *testing.T) {
	ctx := within(t)
	for name, sizes := range map[string][]int{
		"one": {5}, "some": sizesOf(77), "full tree": sizesOf(64), "large": {1, hypercore.MaxBlock, 2}, "two pages": sizesOf(8300), "100,000": sizesOf(100_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := folderPair(t)
			dir, want := writtenFeed(t, sizes, nil, pair, true)
			var got judged
			folders(ctx, t, "feed", map[string]any{"dir": dir, "audit": name != "100,000"}, &got)
			got.check(t)
			if got.Audit = nil; got != want {
				t.Fatalf("the original finds\n%+v, want\n%+v", got, want)
			}
			folders(ctx, t, "feed", map[string]any{"dir": dir, "audit": name != "100,000", "steps": []step{
				{Append: []int{9}}, {Append: []int{0, 100, 3}},
			}}, &got)
			if got.Length != want.Length+4 || got.Held != got.Length {
				t.Fatalf("extended: %+v", got)
			}
			taken(t, openFolder(t, dir), got)
		})
	}
}

func TestOriginalReadsOurSparseFolders(t *testing.T) {
	ctx := within(t)
	pair := folderPair(t)
	spans := []hypercore.Span{{Start: 2, Count: 3}, {Start: 100, Count: 50}, {Start: 299, Count: 1}}
	dir, _ := writtenFeed(t, sizesOf(300), spans, pair, false)
	var got judged
	folders(ctx, t, "feed", map[string]any{"dir": dir}, &got)
	if got.Length != 300 || got.Held != 54 || got.Writable {
		t.Fatalf("the original finds %+v", got)
	}
	src := openFolder(t, dir)
	taken(t, src, got)
	src.Close() // it is locked until then

	// It fetches what is missing, which then is all here.
	whole, _ := writtenFeed(t, sizesOf(300), nil, pair, false)
	var missing []int
	for seq := range 300 {
		if !slices.ContainsFunc(spans, func(s hypercore.Span) bool { return uint64(seq) >= s.Start && uint64(seq) < s.End() }) {
			missing = append(missing, seq)
		}
	}
	folders(ctx, t, "feed", map[string]any{"dir": dir, "key": got.Key, "steps": []step{
		{Fetch: &fetching{From: whole, Blocks: missing}},
	}}, &got)
	if got.Held != 300 {
		t.Fatalf("the original fetched %+v", got)
	}
	taken(t, openFolder(t, dir), got)
}
