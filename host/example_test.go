package host_test

import (
	"context"
	"fmt"
	"log"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// node is a program with a host, a store and a networker of its own.
type node struct {
	*host.Networker
	store *corestore.Store
}

func start(master corestore.MasterKey) node {
	h, err := host.NewHost(host.WithListen("/ip4/127.0.0.1/tcp/0"), host.WithoutPortMapping())
	if err != nil {
		log.Fatal(err)
	}
	n, err := host.New(h)
	if err != nil {
		log.Fatal(err)
	}
	return node{n, corestore.New(storage.NewMemory(), master)}
}

func (n node) join(secret multifeed.Secret) *host.Membership {
	space, err := multifeed.Open(n.store, secret.Address(), multifeed.WithSecret(secret))
	if err != nil {
		log.Fatal(err)
	}
	m, err := n.Join(space)
	if err != nil {
		log.Fatal(err)
	}
	return m
}

func (n node) close() {
	n.Close()
	n.Host().Close()
	n.store.Close()
}

// Two programs share two spaces over one connection.
func Example() {
	ctx := context.Background()
	alice, bob := start(corestore.MasterKey{1}), start(corestore.MasterKey{2})
	defer alice.close()
	defer bob.close()
	notes, photos := multifeed.NewSecret(), multifeed.NewSecret()
	for _, secret := range []multifeed.Secret{notes, photos} {
		bob.join(secret)
	}
	alice.join(photos)
	writer, err := alice.join(notes).Space().Writer("log")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := writer.Append(ctx, []byte("hello, Bob")); err != nil {
		log.Fatal(err)
	}
	// Once they are connected, the two find out by themselves what they share.
	err = bob.Connect(ctx, peer.AddrInfo{ID: alice.Host().ID(), Addrs: alice.Host().Addrs()})
	if err != nil {
		log.Fatal(err)
	}
	space := bob.Membership(notes.Address().Discovery()).Space()
	for feed := range space.Watch(ctx) {
		block, err := feed.Get(ctx, 0)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", block)
		break
	}
	fmt.Println("connections:", len(bob.Host().Network().Conns()))
	// Output:
	// hello, Bob
	// connections: 1
}
