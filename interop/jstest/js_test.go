package jstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// js is the JavaScript peer after its start.
type js struct {
	*child
	PeerID       string   `json:"peerId"`
	Addresses    []string `json:"addresses"`
	Feed         string   `json:"feed"`
	DiscoveryKey string   `json:"discoveryKey"`
}

// newJS starts a JavaScript peer of the space that text names, in the DHT that
// boot is part of. The longest silence that it bears is given in milliseconds.
func newJS(ctx context.Context, t *testing.T, text string, boot dhtNode, silence int) *js {
	t.Helper()
	p := &js{child: run(ctx, t)}
	p.call(ctx, "start", map[string]any{
		"space":     text,
		"dhtPrefix": prefix,
		"bootstrap": []string{boot.address(t)},
		"silence":   silence,
	}, p)
	access, err := multifeed.ParseAccess(text)
	if err != nil {
		t.Fatal(err)
	}
	if want := access.Discovery().String(); p.DiscoveryKey != want {
		t.Fatalf("discovery key = %s, want %s", p.DiscoveryKey, want)
	}
	return p
}

// feed returns the key of the peer's own feed.
func (p *js) feed() hypercore.Key {
	p.t.Helper()
	b, err := hex.DecodeString(p.Feed)
	if err != nil || len(b) != hypercore.KeySize {
		p.t.Fatalf("feed key %q", p.Feed)
	}
	return hypercore.Key(b)
}

// addrInfo returns where the peer listens.
func (p *js) addrInfo(t *testing.T) peer.AddrInfo {
	t.Helper()
	to, err := peer.AddrInfoFromString(p.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	return *to
}

// appendBlocks appends contents in one batch, or sealed blocks as they are.
func (p *js) appendBlocks(ctx context.Context, sealed bool, blocks ...[]byte) {
	p.t.Helper()
	text := make([]string, len(blocks))
	for i, b := range blocks {
		text[i] = base64.StdEncoding.EncodeToString(b)
	}
	p.call(ctx, "append", map[string]any{"blocks": text, "sealed": sealed}, nil)
}

// bare stands in a list of contents for a block of no bytes as the tree covers
// it, which opens with no key.
var bare []byte

// contents returns some hundred blocks: small ones, an empty one, a bare one,
// and one of 1 MiB.
func contents(writer string) [][]byte {
	large := bytes.Repeat([]byte(writer), 1<<20/len(writer)+1)[:1<<20]
	return append(small(writer, 300), []byte{}, bare, large)
}

// small returns n small blocks.
func small(writer string, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, "block %d of %s", i, writer)
	}
	return all
}

// digest returns the SHA-256 hash in hex.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// check reads a feed here and audits it.
func check(ctx context.Context, t *testing.T, f *multifeed.Feed, want [][]byte) {
	t.Helper()
	for i, content := range want {
		if content == nil {
			if got, err := f.Block(ctx, uint64(i)); err != nil || len(got) != 0 {
				t.Errorf("Block(%d) = %d bytes, %v; want none", i, len(got), err)
			}
			continue
		}
		got, err := f.Get(ctx, uint64(i))
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("Get(%d) = %d bytes, %v; want %d", i, len(got), err, len(content))
		}
	}
	audit, err := f.Audit(ctx)
	if err != nil || !audit.Valid() || audit.Blocks != uint64(len(want)) {
		t.Errorf("Audit = %+v, %v; want %d blocks", audit, err, len(want))
	}
}

// check reads a feed there, and has the original hypercore audit it.
func (p *js) check(ctx context.Context, f *multifeed.Feed, want [][]byte) {
	p.t.Helper()
	for i, got := range p.checkSealed(ctx, f, len(want)) {
		switch content := want[i]; {
		case content == nil && got != nil:
			p.t.Errorf("block %d, a bare one, opened", i)
		case content != nil && (got == nil || *got != digest(content)):
			p.t.Errorf("block %d: JavaScript peer reads another content", i)
		}
	}
}

// checkSealed compares the blocks there with ours as the tree covers them, and has
// the original hypercore audit them. It returns the digest of each content, nil for
// what doesn't open there.
func (p *js) checkSealed(ctx context.Context, f *multifeed.Feed, length int) []*string {
	p.t.Helper()
	var read struct {
		Blocks []struct {
			Sealed  string  `json:"sealed"`
			Content *string `json:"content"`
		} `json:"blocks"`
	}
	p.call(ctx, "read", map[string]any{"feed": f.Key().String(), "length": length}, &read)
	if len(read.Blocks) != length {
		p.t.Fatalf("JavaScript peer read %d blocks, want %d", len(read.Blocks), length)
	}
	contents := make([]*string, length)
	for i, got := range read.Blocks {
		sealed, err := f.Block(ctx, uint64(i))
		if err != nil || got.Sealed != digest(sealed) {
			p.t.Errorf("block %d: JavaScript peer has another one, %v", i, err)
		}
		contents[i] = got.Content
	}
	var audit struct{ Length, Valid, Invalid int }
	p.call(ctx, "audit", map[string]any{"feed": f.Key().String()}, &audit)
	if audit.Length != length || audit.Valid != length || audit.Invalid != 0 {
		p.t.Errorf("audit by hypercore 9 = %+v, want %d valid blocks", audit, length)
	}
	return contents
}
