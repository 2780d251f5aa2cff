// Joins a stream of js-libp2p with a Node stream. Streams of libp2p 3 are event
// targets, not duplexes; both ends tell when they are full, and both are heeded here:
// js-libp2p resets a paused stream once 4 MiB wait to be read.

// join carries bytes both ways until one side ends. It resolves to null when both
// ended in order, else to the error.
export function join (stream, duplex) {
  const done = Promise.withResolvers()
  let failure = null

  stream.addEventListener('message', ({ data }) => {
    let free = true
    for (const chunk of data instanceof Uint8Array ? [data] : data) {
      if (!duplex.destroyed) free = duplex.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    }
    if (!free && stream.readStatus === 'readable') stream.pause()
  })
  duplex.on('drain', () => { if (stream.readStatus === 'paused') stream.resume() })
  // Not 'end', which comes only when somebody has read everything; see interface Stream.
  stream.addEventListener('remoteCloseWrite', () => duplex.end())
  stream.addEventListener('close', ({ error }) => {
    failure ??= error ?? null
    duplex.destroy()
    done.resolve(failure)
  })

  duplex.on('data', chunk => {
    if (stream.writeStatus !== 'writable') return
    if (stream.send(chunk)) return
    duplex.pause()
    stream.onDrain().then(() => duplex.resume(), () => {}) // 'close' tells why
  })
  duplex.on('end', () => stream.close().catch(err => stream.abort(err)))
  duplex.on('error', err => { failure ??= err })
  duplex.on('close', () => {
    if (failure !== null) stream.abort(failure)
    else stream.close().catch(err => stream.abort(err))
  })
  return done.promise
}
