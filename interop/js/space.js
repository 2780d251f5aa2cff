// A space: its keys and its feeds, each an original hypercore.
import { EventEmitter, once } from 'node:events'
import { promisify } from 'node:util'
import crypto from 'hypercore-crypto'
import hypercore from 'hypercore'
import ram from 'random-access-memory'
import { OPEN, admit, blockKey, discoveryKey, isAdmitted, isStrongKey } from './keys.js'
import { open, seal } from './seal.js'

const MAX_FEEDS = 1024 // of one space; feeds beyond it are skipped

// Space emits 'feed' for each feed that comes into it.
export class Space extends EventEmitter {
  // Feeds are kept in memory. A peer that keeps them gives a storage per feed, such as
  // key => name => new RandomAccessFile(`${dir}/${key.toString('hex')}/${name}`), and
  // must never write one feed from two copies of its directory.
  constructor (keys, storageOf = () => () => ram()) {
    super()
    this.setMaxListeners(0) // one listener per session
    this.keys = keys
    this.discoveryKey = discoveryKey(keys.address)
    this.storageOf = storageOf
    this.feeds = new Map() // hex key -> Feed, in the order of arrival
  }

  // writable says whether this node may have feeds of its own: a seeder may not.
  get writable () {
    return this.keys.encryptionKey !== null && (this.keys.kind === OPEN || this.keys.addressSecret !== null)
  }

  // writer makes a feed of our own and admits it.
  async writer (keyPair = crypto.keyPair()) {
    const feed = await this.add(keyPair.publicKey, admit(this.keys, keyPair.publicKey), keyPair.secretKey)
    if (feed === null) throw new Error('the space has as many feeds as it may')
    return feed
  }

  // add takes a feed in, or returns the one that is here. It returns null for a feed
  // that is skipped, and throws for one that does not belong to the space: then the
  // peer that told it is at fault.
  async add (key, admission, secretKey = null) {
    const name = key.toString('hex')
    if (this.feeds.has(name)) return this.feeds.get(name)
    if (!isAdmitted(this.keys, key, admission)) throw new Error('feed is not admitted to the space')
    if (!isStrongKey(key) || this.feeds.size === MAX_FEEDS) return null
    const feed = new Feed(hypercore(this.storageOf(key), key, { secretKey }), this.keys, admission)
    this.feeds.set(name, feed)
    await feed.ready()
    this.emit('feed', feed)
    return feed
  }

  // feed returns the feed of that key, and waits for it to arrive.
  async feed (key, signal) {
    while (!this.feeds.has(key.toString('hex'))) await once(this, 'feed', { signal })
    return this.feeds.get(key.toString('hex'))
  }

  async close () {
    for (const feed of this.feeds.values()) await feed.close()
  }
}

// Feed is one feed of a space: a hypercore, its admission, and its key for contents.
class Feed {
  constructor (core, keys, admission) {
    this.core = core
    this.admission = admission
    this.blockKey = blockKey(keys, core.key)
    for (const name of ['ready', 'append', 'get', 'audit', 'download', 'rootHashes', 'signature', 'close']) {
      this['_' + name] = promisify(core[name].bind(core))
    }
  }

  get key () { return this.core.key }
  ready () { return this._ready() }
  close () { return this._close() }

  // append seals the blocks and adds them under one signature.
  append (blocks) {
    if (this.blockKey === null) throw new Error('the encryption key of the space is not here')
    return this._append(blocks.map(block => seal(this.blockKey, block)))
  }

  // appendSealed adds blocks as the tree covers them.
  appendSealed (blocks) { return this._append(blocks) }

  // get returns the content of a block and waits for it.
  async get (seq) {
    if (this.blockKey === null) throw new Error('the encryption key of the space is not here')
    return open(this.blockKey, await this._get(seq))
  }

  // getSealed returns a block as the tree covers it and waits for it.
  getSealed (seq) { return this._get(seq) }

  // downloaded returns when the first `length` blocks are here.
  downloaded (length) {
    return this.core.downloaded(0, length) === length ? null : this._download({ start: 0, end: length })
  }

  // audit hashes all blocks anew and returns how many are {valid, invalid}.
  audit () { return this._audit() }

  // head returns the signed head as entries tell it, null for an empty feed.
  async head () {
    const length = this.core.length
    if (length === 0) return null
    const roots = await this._rootHashes(length - 1)
    const { signature } = await this._signature(length - 1)
    return { length, rootHash: crypto.tree(roots), signature }
  }

  // replicate opens the feed's channel on a stream of hypercore-protocol. There is no
  // Noise inside: libp2p has authenticated and encrypts already.
  replicate (protocol) {
    this.core.replicate(protocol, { live: true, noise: false, encrypted: false })
  }
}
