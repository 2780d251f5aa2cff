// The keys of a space: what is derived from what, and who may do what with it.
// Formats: ../spec/keys.md.
import crypto from 'hypercore-crypto'
import sodium from 'sodium-universal'

// The two kinds of spaces, as the byte that the handshake's transcript holds.
export const OPEN = 'o' // who knows the address may add feeds
export const SIGNED = 's' // only feeds that the address key admitted belong to it

// The discovery key is the only name of a space or feed that may be published.
export const discoveryKey = crypto.discoveryKey

// keyedHash returns the 32-byte BLAKE2b hash of the parts, keyed unless key is null.
export function keyedHash (key, ...parts) {
  const out = Buffer.alloc(32)
  const bytes = parts.map(part => Buffer.from(part))
  if (key === null) sodium.crypto_generichash_batch(out, bytes)
  else sodium.crypto_generichash_batch(out, bytes, key)
  return out
}

// lengthPrefixed returns bytes behind their length as 8 bytes, big endian, so that
// no two lists of parts hash alike.
export function lengthPrefixed (bytes) {
  const out = Buffer.alloc(8 + bytes.length)
  out.writeBigUInt64BE(BigInt(bytes.length))
  out.set(bytes, 8)
  return out
}

// memberKeys returns everything that follows from the secret of a signed space.
export function memberKeys (secret) {
  const pair = crypto.keyPair(keyedHash(secret, 'cobox/1 address'))
  return {
    kind: SIGNED,
    address: pair.publicKey,
    addressSecret: pair.secretKey,
    encryptionKey: keyedHash(secret, 'cobox/1 encryption')
  }
}

// addressKeys returns what somebody has who got no more than an address, and for an
// open space perhaps its encryption key.
export function addressKeys (kind, address, encryptionKey = null) {
  return { kind, address, addressSecret: null, encryptionKey }
}

// tag names a space in what the peer `sender` sends to the peer `receiver`. Only who
// knows the address can make or recognise it. The peer IDs are the binary ones.
export function tag (keys, sender, receiver) {
  return keyedHash(keys.address, 'cobox/1 space', lengthPrefixed(sender), lengthPrefixed(receiver))
}

// blockKey returns the key that seals the blocks of a feed, null for a seeder. In a
// signed space each feed has its own, so that nobody can replay the blocks of one
// member in a feed of his own.
export function blockKey (keys, feedKey) {
  if (keys.encryptionKey === null || keys.kind === OPEN) return keys.encryptionKey
  return keyedHash(keys.encryptionKey, 'cobox/1 block', feedKey)
}

// admit returns the signature that makes a feed part of a signed space, null in an
// open one. It needs the keys of a member.
export function admit (keys, feedKey) {
  if (keys.kind === OPEN) return null
  if (keys.addressSecret === null) throw new Error('only who holds the secret of the space can add feeds to it')
  return crypto.sign(admitted(keys, feedKey), keys.addressSecret)
}

// isAdmitted says whether a feed belongs to the space, which the address alone decides.
export function isAdmitted (keys, feedKey, admission) {
  if (feedKey.equals(keys.address)) return false
  if (keys.kind === OPEN) return true
  return admission !== null && crypto.verify(admitted(keys, feedKey), admission, keys.address)
}

function admitted (keys, feedKey) {
  return Buffer.concat([Buffer.from('cobox/1 admit'), keys.address, feedKey])
}

// isStrongKey says whether a key is the canonical encoding of a point of the main
// subgroup. The specification refuses points of small order only; those between are
// nobody's honest key, and libsodium has no check that lets them pass.
export function isStrongKey (key) {
  return sodium.crypto_core_ed25519_is_valid_point(key)
}
