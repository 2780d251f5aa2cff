// The libp2p node: TCP, Noise, yamux, and a Kad-DHT that is ours alone.
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

// createNode starts a node in the private DHT with that protocol prefix, such as
// "/cobox", and dials the bootstrap addresses. It fails when none of them answers.
export async function createNode ({ dhtPrefix, bootstrap, listen = ['/ip4/127.0.0.1/tcp/0'] }) {
  const node = await createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      ping: ping(), // the DHT asks for it
      dht: kadDHT({
        protocol: `${dhtPrefix}/kad/1.0.0`,
        clientMode: false, // else a node without a public address serves nobody
        peerInfoMapper: passthroughMapper, // the default drops private addresses
        // Provide and find wait for the first look-up of the own ID, which waits for a
        // first peer. A second's delay before that is for nothing.
        initialQuerySelfInterval: 10
      })
    }
  })
  try {
    if (bootstrap.length > 0) await Promise.any(bootstrap.map(address => node.dial(multiaddr(address))))
  } catch (err) {
    await node.stop()
    throw err
  }
  return node
}
