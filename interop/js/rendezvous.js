// Rendezvous: provider records of the Kad-DHT under the space's discovery key.
// Format: ../spec/rendezvous.md.
import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'

const RAW = 0x55
const BLAKE2B_256 = 0xb220
const MAX_PROVIDERS = 32 // tried per lookup: anybody may announce himself under any CID

// rendezvousCID holds the discovery key as the digest: it is a hash already.
export function rendezvousCID (discoveryKey) {
  return CID.createV1(RAW, create(BLAKE2B_256, discoveryKey))
}

// announce tells the DHT that this node takes part in the space.
export async function announce (node, discoveryKey, signal) {
  await node.contentRouting.provide(rendezvousCID(discoveryKey), { signal })
}

// find yields peers {id, multiaddrs} that say they take part in the space. That is a
// hint; the handshake decides.
export async function * find (node, discoveryKey, signal) {
  const seen = new Set([node.peerId.toString()])
  for await (const provider of node.contentRouting.findProviders(rendezvousCID(discoveryKey), { signal })) {
    const name = provider.id.toString()
    if (seen.has(name)) continue
    seen.add(name)
    yield provider
    if (seen.size > MAX_PROVIDERS) return
  }
}
