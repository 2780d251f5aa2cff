// The vectors of the specification's tables: ../spec/keys.md and ../spec/handshake.md.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import crypto from 'hypercore-crypto'
import { decodeFields, encodeFields } from '../fields.js'
import { proof, transcript } from '../handshake.js'
import { admit, blockKey, discoveryKey, isAdmitted, memberKeys, tag } from '../keys.js'
import { open, seal } from '../seal.js'
import { parseSpace } from '../text.js'

const hex = bytes => Buffer.from(bytes).toString('hex')
const keys = memberKeys(Buffer.from('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'hex'))
const feed = crypto.keyPair(Buffer.alloc(32, 0x46)).publicKey
const initiator = Buffer.concat([Buffer.from('1220', 'hex'), Buffer.alloc(32, 0xaa)])
const responder = Buffer.concat([Buffer.from('0024', 'hex'), Buffer.alloc(36, 0xbb)])

test('keys of a signed space', () => {
  assert.equal(hex(keys.encryptionKey), 'f2e75fadefec5115319f3e3fb95ea4f793760435e74a00c25ad20e4eac95e391')
  assert.equal(hex(keys.address), '79f6ae6c877423d1baa7dea7996c4176072ade2e3772fa59da34ea16a1a0468f')
  assert.equal(hex(discoveryKey(keys.address)), '1d991c67c56578d32ebd77c84c2382af4c85361eea3aabf165679fc63b5f3819')
  assert.equal(hex(blockKey(keys, feed)), '93998b5cc0d4b09ac15d6f133fb27f3e3ba7bea53378557aadfb462fae035df1')
  assert.equal(hex(tag(keys, initiator, responder)), 'bfe9f67909ef8fc9df6ca3b3dfa4e88a398ffddd193d7a9e0feab30d7b42eb90')
})

test('admission', () => {
  const admission = admit(keys, feed)
  assert.equal(hex(admission), 'd45541cbc9a90eb518525a1936ddf1cd6ac247a06688572734d61e1366f5190' +
    '167bff99d6ff4de959dacd55de09cbcc0dee31420e6788e885371386242006c08')
  assert(isAdmitted(keys, feed, admission))
  assert(!isAdmitted(keys, crypto.keyPair().publicKey, admission))
  assert(!isAdmitted(keys, feed, null))
  assert(!isAdmitted(keys, keys.address, admit(keys, keys.address)))
})

test('text forms', () => {
  const secret = 'cbxsecret1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0s9swjhc'
  assert.deepEqual(parseSpace(secret), keys)
  assert.deepEqual(parseSpace(` ${secret.toUpperCase()}\n`), keys)
  const seeder = parseSpace('cbxaddr108m2umy8ws3arw48m6nejmzpwcrj4h3wxae05kw6xn4pdgdqg68sdyr950')
  assert.deepEqual(seeder, { ...keys, addressSecret: null, encryptionKey: null })
  const openSpace = parseSpace('cbxopen1szqc9quyskrg0zyf329cervw37gfry5njj2ed9ucnxdfh8yan60sjdt75d')
  assert.equal(hex(discoveryKey(openSpace.address)), '2f6abd589c6890dc9f14efd7156701d24df33a3271471b553b8a095a22b53a18')
  for (const bad of [
    'cbxaddr1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq298pk7', // a point of order 1
    'cbxopen1szqc9quyskrg0zyf329cervw37gfry5njj2ed9ucnxdfh8yancd7hf88', // 31 bytes
    'cbxfoo1szqc9quyskrg0zyf329cervw37gfry5njj2ed9ucnxdfh8yan60sgkcms6', // no such prefix
    secret.slice(0, -1) + 'd'
  ]) assert.throws(() => parseSpace(bad), bad)
})

test('handshake', () => {
  const hello1 = Buffer.from('080110001a20bfe9f67909ef8fc9df6ca3b3dfa4e88a398ffddd193d7a9e0feab30d7b42eb90' +
    '22200101010101010101010101010101010101010101010101010101010101010101' +
    '2a101111111111111111111111111111111130e0d4033a0d636f626f782f66656564732f313a0d636f626f782f72616e67652f31', 'hex')
  const hello2 = Buffer.from('0801100022200202020202020202020202020202020202020202020202020202020202020202' +
    '2a10222222222222222222222222222222223a0d636f626f782f72616e67652f31', 'hex')
  const hash = transcript(keys, initiator, responder, hello1, hello2)
  assert.equal(hex(hash), '65909071895dbde6b092b4b2261de5b1a72231049e4a339d465f0b557b400a4b')
  assert.equal(hex(proof('cobox/1 initiator', keys, hash)), 'ac6ed7542f489da064d8bd41031b8b412b9232a0da98fcc2c3686360bf0c7aa4')
  assert.equal(hex(proof('cobox/1 responder', keys, hash)), '9b78b72e397f52b808a9f3a337c429148e48517b702f1df5e8aa15c8d35ad44d')
  assert.equal(hex(encodeFields([...decodeFields(hello1)])), hex(hello1))
})

test('sealed blocks', () => {
  const sealed = seal(blockKey(keys, feed), Buffer.from('block'))
  assert.equal(String(open(blockKey(keys, feed), sealed)), 'block')
  assert.throws(() => open(keys.encryptionKey, sealed))
  assert.throws(() => open(keys.encryptionKey, Buffer.alloc(0)))
})

test('malformed messages', () => {
  assert.throws(() => [...decodeFields(Buffer.from('0a05', 'hex'))]) // cut off
  assert.throws(() => [...decodeFields(Buffer.from('0b0c', 'hex'))]) // a group
  assert.throws(() => [...decodeFields(Buffer.from('08ffffffffffffffff7f', 'hex'))]) // over 2^53-1
})
