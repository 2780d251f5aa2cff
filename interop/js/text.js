// The text forms in which people pass spaces on. Formats: ../spec/keys.md, "Text forms".
import { bech32m } from '@scure/base'
import { OPEN, SIGNED, addressKeys, isStrongKey, memberKeys } from './keys.js'

const MAX_TEXT = 256

// parseSpace returns the keys that a text gives its holder. The errors hold no part
// of the text: it is a secret.
export function parseSpace (text) {
  text = text.trim()
  if (text.length > MAX_TEXT) throw new Error('text of a space is too long')
  if (/^[0-9a-f]{64}$/i.test(text)) return addressKeys(OPEN, Buffer.from(text, 'hex'))
  if (/^[0-9a-f]{128}$/i.test(text)) {
    const both = Buffer.from(text, 'hex')
    return addressKeys(OPEN, both.subarray(0, 32), both.subarray(32))
  }
  const { prefix, key } = decode(text)
  switch (prefix) {
    case 'cbxsecret': return memberKeys(key)
    case 'cbxopen': return addressKeys(OPEN, key)
    case 'cbxaddr':
      if (!isStrongKey(key)) throw new Error('address of the space is no strong public key')
      return addressKeys(SIGNED, key)
  }
  throw new Error('text is that of no space')
}

function decode (text) {
  let decoded
  try {
    decoded = bech32m.decodeToBytes(text)
  } catch {
    throw new Error('text of a space is mistyped or cut off')
  }
  if (decoded.bytes.length !== 32) throw new Error('text of a space has the wrong length')
  return { prefix: decoded.prefix, key: Buffer.from(decoded.bytes) }
}
