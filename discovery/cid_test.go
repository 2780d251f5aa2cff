package discovery

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestCID(t *testing.T) {
	data, err := os.ReadFile("../interop/vectors/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		DiscoveryKeys []struct{ Key, DiscoveryKey string }
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.DiscoveryKeys) == 0 {
		t.Fatal("the vectors hold no discovery keys")
	}
	for _, v := range vectors.DiscoveryKeys {
		raw, err := hex.DecodeString(v.DiscoveryKey)
		if err != nil {
			t.Fatal(err)
		}
		c := CID([32]byte(raw))
		if got, want := hex.EncodeToString(c.Hash()), "a0e40220"+v.DiscoveryKey; got != want {
			t.Errorf("multihash = %s, want %s", got, want)
		}
		const zero = "bafk2bzacebvx5t444rlnk3srixwe"
		if v.Key == strings.Repeat("0", 64) && !strings.HasPrefix(c.String(), zero) {
			t.Errorf("CID of the zero address = %s, want %s...", c, zero)
		}
	}
}
