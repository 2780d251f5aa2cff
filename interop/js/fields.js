// Protobuf messages as lists of fields: [number, integer or bytes]. The messages of
// the protocol are few and flat, so a generated codec would hide more than it saves.
import { reader, writer } from 'protons-runtime'

const VARINT = 0
const BYTES = 2
const GROUP = 3
const GROUP_END = 4

// encodeFields returns the message. Fields whose value is null are left out.
export function encodeFields (fields) {
  const w = writer()
  for (const [number, value] of fields) {
    if (value === null) continue
    if (typeof value === 'number') w.uint32(number << 3 | VARINT).uint64Number(value)
    else w.uint32(number << 3 | BYTES).bytes(typeof value === 'string' ? Buffer.from(value) : value)
  }
  return Buffer.from(w.finish())
}

// decodeFields yields the fields of a message and skips those of other wire types.
// It throws when the message is cut off or holds an integer that no number can.
export function * decodeFields (message) {
  const r = reader(message)
  while (r.pos < r.len) {
    const key = r.uint32()
    const number = key >>> 3
    switch (key & 7) {
      case VARINT: {
        const value = r.uint64()
        if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`field ${number} is over 2^53-1`)
        yield [number, Number(value)]
        break
      }
      case BYTES:
        yield [number, Buffer.from(r.bytes())]
        break
      case GROUP:
      case GROUP_END:
        throw new Error(`field ${number} is a group`) // they nest: a peer could send very deep ones
      default:
        r.skipType(key & 7)
    }
  }
}

// exactly returns bytes when they are so many, and throws otherwise.
export function exactly (length, value, name) {
  if (!Buffer.isBuffer(value) || value.length !== length) throw new Error(`${name} is not ${length} bytes`)
  return value
}

// integer returns value when it is an integer from min to max, and throws otherwise.
export function integer (min, max, value, name) {
  if (typeof value !== 'number' || value < min || value > max) throw new Error(`${name} is not ${min} to ${max}`)
  return value
}
