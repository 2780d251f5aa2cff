// Promise.withResolvers came with Node 22; js-libp2p 3 uses it everywhere. Loaded
// with `node --import`, before any module of libp2p, this makes Node 20 do.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((onResolve, onReject) => { resolve = onResolve; reject = onReject })
  return { promise, resolve, reject }
}
