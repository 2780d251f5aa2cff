// Content encryption: 24 random bytes, then a NaCl secretbox. The feed's tree covers
// the sealed block, so who has no key can still verify, keep and serve it.
// Format: ../spec/keys.md, "Content encryption".
import sodium from 'sodium-universal'

const NONCE = sodium.crypto_secretbox_NONCEBYTES
const MAC = sodium.crypto_secretbox_MACBYTES

// seal returns the sealed block.
export function seal (key, block) {
  const sealed = Buffer.alloc(NONCE + MAC + block.length)
  const nonce = sealed.subarray(0, NONCE)
  sodium.randombytes_buf(nonce)
  sodium.crypto_secretbox_easy(sealed.subarray(NONCE), block, nonce, key)
  return sealed
}

// open returns the content of a sealed block. A wrong key is an error, never garbage.
export function open (key, sealed) {
  if (sealed.length >= NONCE + MAC) {
    const block = Buffer.alloc(sealed.length - NONCE - MAC)
    if (sodium.crypto_secretbox_open_easy(block, sealed.subarray(NONCE), sealed.subarray(0, NONCE), key)) return block
  }
  throw new Error('block does not open with this key')
}
