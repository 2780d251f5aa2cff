// The handshake: both sides prove that they know the address of the space, without
// the address crossing the wire and without a hint which space it is for those who
// don't know it. Format: ../spec/handshake.md.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { lpStream } from '@libp2p/utils'
import { decodeFields, encodeFields, exactly, integer } from './fields.js'
import { OPEN, discoveryKey, keyedHash, lengthPrefixed, tag, addressKeys } from './keys.js'

const MAJOR = 1
const MINOR = 0
const TIMEOUT = 10_000 // ms, for the whole handshake
const MAX_FRAME = 4096 // bytes
const MAX_LENGTH = 8 // bytes of a frame's length
const MAX_VERSION = 65_535
const MAX_FEATURES = 32
const FEATURE = /^[\x20-\x7e]{1,64}$/
const MIN_SILENCE = 1000 // ms; a shorter one would make us send keep-alives without end
const MAX_SILENCE = 86_400_000 // ms

// initiate opens a session for the space of `keys` on a stream to `remote`. Peer IDs
// are the binary ones. `self` is {peerId, process, silence, features}. It returns what
// the other side's Hello told; the stream is then at the first frame. Whoever calls
// aborts the stream when it throws.
export async function initiate (stream, self, remote, keys) {
  const frames = new Frames(stream, self, remote)
  const mine = encodeHello(self, tag(keys, self.peerId, remote))
  await frames.write(mine)
  const theirs = await frames.read()
  const hello = decodeHello(theirs, false)
  const hash = transcript(keys, self.peerId, remote, mine, theirs)
  checkProof(await frames.read(), proof('cobox/1 responder', keys, hash))
  await frames.write(encodeFields([[1, proof('cobox/1 initiator', keys, hash)]]))
  return frames.opened({ keys, hello, initiator: true })
}

// respond answers an initiate. `find` returns the keys of the joined space that has
// the tag, or null. What the other side sees doesn't depend on it: for an unknown tag
// the handshake goes on with a random address, and fails at the very end.
export async function respond (stream, self, remote, find) {
  const frames = new Frames(stream, self, remote)
  const theirs = await frames.read()
  const hello = decodeHello(theirs, true)
  const known = find(hello.tag)
  const keys = known ?? addressKeys(OPEN, randomBytes(32))
  const mine = encodeHello(self, null)
  const hash = transcript(keys, remote, self.peerId, theirs, mine)
  await frames.write(mine, encodeFields([[1, proof('cobox/1 responder', keys, hash)]]))
  checkProof(await frames.read(), proof('cobox/1 initiator', keys, hash))
  if (known === null) throw new Error('the other side asked for a space that is not joined here')
  return frames.opened({ keys, hello, initiator: false })
}

// Frames reads and writes the control frames, uvarint length || message, for as long
// as the handshake may take.
class Frames {
  constructor (stream, self, remote) {
    if (self.peerId.equals(remote)) throw new Error('the other side has our own peer ID')
    this.self = self
    this.frames = lpStream(stream, { maxDataLength: MAX_FRAME, maxLengthLength: MAX_LENGTH })
    this.signal = AbortSignal.timeout(TIMEOUT)
  }

  async read () {
    const frame = await this.frames.read({ signal: this.signal })
    return Buffer.from(frame.subarray())
  }

  write (...messages) {
    return this.frames.writeV(messages, { signal: this.signal })
  }

  // opened gives the stream back: what was read beyond the handshake comes again.
  opened ({ keys, hello, initiator }) {
    const features = this.self.features.filter(name => hello.features.includes(name)).sort()
    return { stream: this.frames.unwrap(), keys, initiator, features, remote: hello }
  }
}

function encodeHello (self, spaceTag) {
  return encodeFields([
    [1, MAJOR],
    [2, MINOR],
    [3, spaceTag],
    [4, randomBytes(32)], // nonce: no transcript comes twice
    [5, self.process],
    [6, self.silence],
    ...self.features.map(name => [7, name])
  ])
}

function decodeHello (message, tagged) {
  const hello = { major: null, tag: null, nonce: null, process: null, silence: 0, features: [] }
  for (const [number, value] of decodeFields(message)) {
    switch (number) {
      case 1: hello.major = integer(0, MAX_VERSION, value, 'major version'); break
      case 2: integer(0, MAX_VERSION, value, 'minor version'); break // a higher one only adds features
      case 3: hello.tag = exactly(32, value, 'tag'); break
      case 4: hello.nonce = exactly(32, value, 'nonce'); break
      case 5: hello.process = exactly(16, value, 'process'); break
      case 6: hello.silence = value === 0 ? 0 : integer(MIN_SILENCE, MAX_SILENCE, value, 'silence'); break
      case 7: hello.features.push(feature(value)); break
    }
    if (hello.features.length > MAX_FEATURES) throw new Error(`Hello names over ${MAX_FEATURES} features`)
  }
  if (hello.major !== MAJOR) throw new Error(`the other side speaks version ${hello.major}, not ${MAJOR}`)
  if (hello.nonce === null || hello.process === null) throw new Error('Hello is incomplete')
  if ((hello.tag !== null) !== tagged) throw new Error('Hello has the tag on the wrong side')
  return hello
}

function feature (value) {
  const name = Buffer.isBuffer(value) ? value.toString('latin1') : ''
  if (!FEATURE.test(name)) throw new Error('feature is not 1 to 64 bytes of printable ASCII')
  return name
}

// transcript hashes all that both sides must agree on: who talks to whom, about which
// space, and both Hellos as they crossed the wire.
export function transcript (keys, initiator, responder, hello1, hello2) {
  return keyedHash(null, 'cobox/multifeed/1.0.0', keys.kind,
    lengthPrefixed(initiator), lengthPrefixed(responder), lengthPrefixed(discoveryKey(keys.address)),
    lengthPrefixed(hello1), lengthPrefixed(hello2))
}

// proof shows knowledge of the address in this very handshake.
export function proof (by, keys, hash) {
  return keyedHash(keys.address, by, hash)
}

function checkProof (message, want) {
  let got = null
  for (const [number, value] of decodeFields(message)) {
    if (number === 1) got = exactly(32, value, 'proof')
  }
  if (got === null || !timingSafeEqual(got, want)) throw new Error('the other side does not know the address')
}
