package multifeed

import (
	"bytes"
	"io"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// plainOf opens a sealed file.
func plainOf(f *testing.F, address Address, magic string, file []byte) []byte {
	f.Helper()
	r, err := newSealedReader(bytes.NewReader(file), address, magic)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		f.Fatal(err)
	}
	return plain
}

// fuzzBundles returns a space with its bundle and its need.
func fuzzBundles(f *testing.F) (s *Space, bundle, need []byte) {
	mem := storage.NewMemory()
	f.Cleanup(func() { mem.Close() })
	s, err := Open(corestore.New(mem, corestore.MasterKey{1}), testSecret.Address(), WithSecret(testSecret))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	w, err := s.Writer("log")
	if err == nil {
		_, err = w.Append(f.Context(), []byte("one"), nil, []byte("three"))
	}
	var b, n bytes.Buffer
	if err == nil {
		_, err = s.WriteBundle(f.Context(), &b)
	}
	if err == nil {
		_, err = s.WriteNeed(f.Context(), &n)
	}
	if err != nil {
		f.Fatal(err)
	}
	return s, b.Bytes(), n.Bytes()
}

// FuzzBundle seals any bytes and reads them as a bundle and as a need.
func FuzzBundle(f *testing.F) {
	_, bundle, need := fuzzBundles(f)
	f.Add(plainOf(f, testSecret.Address(), bundleMagic, bundle))
	f.Add(plainOf(f, testSecret.Address(), needMagic, need))
	f.Fuzz(func(t *testing.T, plain []byte) {
		mem := storage.NewMemory()
		defer mem.Close()
		s, err := Open(corestore.New(mem, corestore.MasterKey{}), testSecret.Address(), WithMaxFeeds(2))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, magic := range []string{bundleMagic, needMagic} {
			var file bytes.Buffer
			w, err := newSealedWriter(&file, s.Address(), magic)
			if err == nil {
				_, err = w.Write(plain)
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			if magic == needMagic {
				if n, err := s.ReadNeed(&file); (n == nil) != (err != nil) || err != nil && !refusedWhole(err) {
					t.Errorf("ReadNeed: %v, %v", n, err)
				}
				continue
			}
			report, err := s.ReadBundle(t.Context(), &file)
			if err != nil && !refusedWhole(err) {
				t.Errorf("ReadBundle: %v", err)
			}
			if len(report.Faults) > MaxBundleFaults || s.Len() > 2 {
				t.Errorf("%d faults, %d feeds", len(report.Faults), s.Len())
			}
			for feed := range s.All() {
				if a, err := feed.Audit(t.Context()); err != nil || a.Head != nil || a.Damaged != 0 {
					t.Errorf("what went in is not good: %+v, %v", a, err)
				}
			}
		}
	})
}

// FuzzBundleFile reads any bytes as a sealed file.
func FuzzBundleFile(f *testing.F) {
	s, bundle, need := fuzzBundles(f)
	f.Add(bundle)
	f.Add(need)
	f.Add(bundle[:bundlePrefix+bundleCheck])
	f.Fuzz(func(t *testing.T, file []byte) {
		if report, err := s.ReadBundle(t.Context(), bytes.NewReader(file)); err != nil && !refusedWhole(err) {
			t.Errorf("ReadBundle: %+v, %v", report, err)
		}
		if n, err := s.ReadNeed(bytes.NewReader(file)); (n == nil) != (err != nil) || err != nil && !refusedWhole(err) {
			t.Errorf("ReadNeed: %v, %v", n, err)
		}
	})
}
