package jstest

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

const protocol = "/cobox/multifeed/1.0.0"

// newSpace opens a space as whoever has access to it, in a memory of its own.
func newSpace(t *testing.T, access multifeed.Access) *multifeed.Space {
	t.Helper()
	mem := storage.NewMemory()
	var master corestore.MasterKey
	rand.Read(master[:])
	store := corestore.New(mem, master)
	space, err := multifeed.Open(store, access.Address, multifeed.WithAccess(access))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { space.Close(); store.Close(); mem.Close() })
	return space
}

// member returns the access of a member of a new signed space, and its text.
func member() (multifeed.Access, string) {
	secret := multifeed.NewSecret()
	key := secret.EncryptionKey()
	return multifeed.Access{Address: secret.Address(), EncryptionKey: &key, Secret: &secret}, multifeed.FormatSecret(secret)
}

// bareNode runs sessions of one space on streams of libp2p by hand, so that tests
// see how each of them ends.
type bareNode struct {
	dhtNode
	t     *testing.T
	ctx   context.Context
	space *multifeed.Space
	self  multifeed.Party
	wg    sync.WaitGroup
	ended chan error // of each handshake and session; nil after an orderly end
}

func newBareNode(ctx context.Context, t *testing.T, access multifeed.Access, boot dhtNode) *bareNode {
	t.Helper()
	p := &bareNode{t: t, ctx: ctx, space: newSpace(t, access), ended: make(chan error, 8)}
	t.Cleanup(p.wg.Wait)
	p.dhtNode = newDHTNode(t, boot.addrInfo())
	p.self = multifeed.Party{PeerID: []byte(p.host.ID())}
	rand.Read(p.self.Process[:])
	p.host.SetStreamHandler(protocol, func(s network.Stream) { p.wg.Go(func() { p.answer(s) }) })
	return p
}

func (p *bareNode) answer(s network.Stream) {
	remote := []byte(s.Conn().RemotePeer())
	o, err := multifeed.Respond(p.ctx, s, p.self, remote, func(tag [32]byte) (multifeed.Address, bool) {
		return p.space.Address(), tag == p.space.Address().Tag(remote, p.self.PeerID)
	})
	p.replicate(s, o, err)
}

// replicate runs a session when its handshake went well.
func (p *bareNode) replicate(s network.Stream, o *multifeed.Opened, err error) {
	if err == nil {
		err = p.space.Replicate(p.ctx, o)
	}
	if err != nil {
		s.ResetWithError(network.StreamErrorCode(multifeed.CodeOf(err)))
	} else {
		s.Close()
	}
	p.ended <- err
}

// dial opens a session with a peer.
func (p *bareNode) dial(to peer.AddrInfo) {
	p.t.Helper()
	if err := p.host.Connect(p.ctx, to); err != nil {
		p.t.Fatal(err)
	}
	s, err := p.host.NewStream(p.ctx, to.ID, protocol)
	if err != nil {
		p.t.Fatal(err)
	}
	p.wg.Go(func() {
		o, err := multifeed.Initiate(p.ctx, s, p.self, []byte(to.ID), p.space.Address())
		p.replicate(s, o, err)
	})
}

// announce puts the provider record of the space into the DHT.
func (p *bareNode) announce() {
	p.t.Helper()
	p.fillTable()
	if err := p.dht.Provide(p.ctx, discovery.CID(p.space.Discovery()), true); err != nil {
		p.t.Fatal(err)
	}
}

// find dials the first peer that announced the space.
func (p *bareNode) find() {
	p.t.Helper()
	p.fillTable()
	for found := range p.dht.FindProvidersAsync(p.ctx, discovery.CID(p.space.Discovery()), 0) {
		if found.ID != p.host.ID() {
			p.dial(found)
			return
		}
	}
	p.t.Fatal("found no provider of the space")
}

func (p *bareNode) fillTable() {
	p.t.Helper()
	if err := <-p.dht.ForceRefresh(); err != nil {
		p.t.Fatal(err)
	}
}

// await returns the feed of that key when it has come into the space.
func await(ctx context.Context, t *testing.T, space *multifeed.Space, key hypercore.Key) *multifeed.Feed {
	t.Helper()
	for f := range space.Watch(ctx) {
		if f.Key() == key {
			return f
		}
	}
	t.Fatalf("feed %s didn't come: %v", key.Discovery(), ctx.Err())
	return nil
}
