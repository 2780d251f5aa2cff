// Entries and pages of the feed list. Format: ../spec/feedset.md.
import crypto from 'hypercore-crypto'
import { decodeFields, encodeFields, exactly, integer } from './fields.js'

// MAX_PAGE is how many entries one page holds.
export const MAX_PAGE = 256

const PAGE_ENTRY = 1
const PAGE_LAST = 2

// encodePage returns a page of entries {key, head, admission}. A head is {length,
// rootHash, signature}; it is null for a feed of which nothing is here. `last` says
// that the sender has now told all that it had at the start.
export function encodePage (entries, last) {
  const fields = entries.map(entry => [PAGE_ENTRY, encodeEntry(entry)])
  if (last) fields.push([PAGE_LAST, 1])
  return encodeFields(fields)
}

// decodePage returns {entries, last}, or throws.
export function decodePage (message) {
  const page = { entries: [], last: false }
  for (const [number, value] of decodeFields(message)) {
    if (number === PAGE_LAST) page.last = value !== 0
    if (number !== PAGE_ENTRY) continue
    if (page.entries.length === MAX_PAGE) throw new Error(`page of over ${MAX_PAGE} entries`)
    page.entries.push(decodeEntry(value))
  }
  return page
}

// isSigned says whether an entry's head was signed by the feed.
export function isSigned ({ key, head }) {
  return head === null || crypto.verify(crypto.signable(head.rootHash, head.length), head.signature, key)
}

function encodeEntry ({ key, head, admission }) {
  return encodeFields([
    [1, key],
    [2, head && head.length],
    [3, head && head.rootHash],
    [4, head && head.signature],
    [5, admission]
  ])
}

function decodeEntry (message) {
  if (!Buffer.isBuffer(message)) throw new Error('entry is no message')
  const entry = { key: null, head: null, admission: null }
  const head = { length: 0, rootHash: null, signature: null }
  for (const [number, value] of decodeFields(message)) {
    switch (number) {
      case 1: entry.key = exactly(32, value, 'feed key'); break
      case 2: head.length = integer(0, Number.MAX_SAFE_INTEGER, value, 'length'); break
      case 3: head.rootHash = exactly(32, value, 'root hash'); break
      case 4: head.signature = exactly(64, value, 'signature'); break
      case 5: entry.admission = exactly(64, value, 'admission'); break
    }
  }
  if (entry.key === null) throw new Error('entry has no feed key')
  if (head.length > 0 !== (head.rootHash !== null) || head.length > 0 !== (head.signature !== null)) {
    throw new Error('a head has length, root hash and signature')
  }
  if (head.length > 0) entry.head = head
  return entry
}
