import assert from 'node:assert/strict'
import { test } from 'node:test'
import crypto from 'hypercore-crypto'
import { MAX_PAGE, decodePage, encodePage, isSigned } from '../entry.js'
import { encodeFields } from '../fields.js'
import { memberKeys } from '../keys.js'
import { Space } from '../space.js'

const keys = memberKeys(Buffer.alloc(32, 7))

test('a page holds the signed heads of feeds', async () => {
  const space = new Space(keys)
  const feed = await space.writer()
  assert.equal(await feed.head(), null)
  await feed.append(['a', 'b', 'c'].map(text => Buffer.from(text)))
  const entry = { key: feed.key, head: await feed.head(), admission: feed.admission }
  const page = decodePage(encodePage([entry], true))
  assert.deepEqual(page, { entries: [entry], last: true })
  assert(isSigned(page.entries[0]))
  page.entries[0].head.length++
  assert(!isSigned(page.entries[0]))
  await space.close()
})

test('the number of entries in a page is limited', () => {
  const entry = { key: Buffer.alloc(32, 1), head: null, admission: null }
  assert.equal(decodePage(encodePage(Array(MAX_PAGE).fill(entry), false)).entries.length, MAX_PAGE)
  assert.throws(() => decodePage(encodePage(Array(MAX_PAGE + 1).fill(entry), false)))
})

test('malformed entries are refused', () => {
  const key = Buffer.alloc(32, 1)
  const page = fields => encodeFields([[1, encodeFields(fields)]])
  for (const [why, message] of [
    ['no feed key', page([])],
    ['short feed key', page([[1, key.subarray(1)]])],
    ['feed key as a number', page([[1, 1]])],
    ['length alone', page([[1, key], [2, 1]])],
    ['head without a length', page([[1, key], [3, key], [4, Buffer.alloc(64)]])],
    ['length as bytes', page([[1, key], [2, key], [3, key], [4, Buffer.alloc(64)]])],
    ['short admission', page([[1, key], [5, Buffer.alloc(63)]])],
    ['entry as a number', encodeFields([[1, 1]])]
  ]) assert.throws(() => decodePage(message), undefined, why)
})

test('a feed comes into a signed space only with an admission', async () => {
  const space = new Space(keys)
  const { publicKey } = crypto.keyPair()
  await assert.rejects(space.add(publicKey, null))
  await assert.rejects(space.add(publicKey, Buffer.alloc(64)))
  assert.equal(space.feeds.size, 0)
})
