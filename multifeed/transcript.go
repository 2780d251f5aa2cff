package multifeed

import "github.com/cobox-p2p/cobox-p2p/hypercore"

// transcript returns the hash over all that both sides must agree on. The bodies
// are those of the Hellos as they crossed the wire.
func transcript(address Address, initiator, responder, hello1, hello2 []byte) [32]byte {
	dk := address.Discovery()
	return hypercore.KeyedHash(nil, []byte("cobox/multifeed/1.0.0"), []byte{byte(address.Kind)},
		lp(initiator), lp(responder), lp(dk[:]), lp(hello1), lp(hello2))
}

// The texts that tell the two proofs apart.
const (
	byInitiator = "cobox/1 initiator"
	byResponder = "cobox/1 responder"
)

// proof returns what shows knowledge of the address in this very handshake.
func proof(by string, address Address, transcript [32]byte) [32]byte {
	return hypercore.KeyedHash(address.Key[:], []byte(by), transcript[:])
}
