import type { ServerResponse } from 'node:http';

/** Sees the bytes of a response before they are sent, and says which go on. */
export interface BodyWatcher {
  /** The bytes to pass on: the same ones, fewer, or none. */
  write(chunk: Buffer): Buffer;
  /** The body is complete; the bytes that were kept back. */
  end(): Buffer;
  /** The whole body, given in one piece: `true` passes it on as it is, `false` asks for it by `write` and `end`. */
  readWhole(body: Buffer | string): boolean;
}

type Callback = (error?: Error | null) => void;

/**
 * Lets a watcher see what a handler sends. What it passes on goes out at once and unchanged, and `write` answers what the
 * response answers, so that back-pressure reaches the handler.
 */
export function watchBody(response: ServerResponse, watcher: BodyWatcher): void {
  const write = response.write as (chunk: Buffer, callback?: Callback) => boolean;
  const end = response.end as (callback?: Callback) => ServerResponse;
  let hasBegun = false;
  let ended = false;

  response.write = function watchedWrite(this: ServerResponse, chunk: unknown, ...rest: unknown[]) {
    const { encoding, callback } = argumentsOf(rest);
    const bytes = ended ? undefined : bytesOf(chunk, encoding);
    // The response itself says what is wrong with a chunk that is neither bytes nor text, or comes after the end.
    if (bytes === undefined || bytes.length === 0) return write.call(this, chunk as Buffer, callback);
    const isFirst = !hasBegun;
    hasBegun = true;
    const passed = watcher.write(bytes);
    if (passed === bytes) return write.apply(this, [chunk as Buffer, ...rest] as [Buffer, Callback?]);
    if (passed.length > 0) return write.call(this, passed, callback);
    // Nothing to send yet but the head: the handler goes on as if it had been sent.
    if (isFirst) this.flushHeaders();
    if (callback !== undefined) process.nextTick(callback);
    return !this.writableNeedDrain;
  } as ServerResponse['write'];

  response.end = function watchedEnd(this: ServerResponse, ...given: unknown[]) {
    const [body, bodyEncoding] = given;
    if (!hasBegun && !ended && isWhole(body, bodyEncoding) && watcher.readWhole(body)) {
      ended = true;
      return end.apply(this, given as [Callback?]);
    }
    const [chunk, ...rest] = typeof given[0] === 'function' ? [undefined, ...given] : given;
    const { encoding, callback } = argumentsOf(rest);
    const bytes = chunk === undefined || chunk === null ? noBytes : bytesOf(chunk, encoding);
    if (ended || bytes === undefined) return end.apply(this, given as [Callback?]);
    ended = true;
    const passed = bytes.length === 0 ? undefined : watcher.write(bytes);
    const kept = watcher.end();
    // As it was given: text goes out in one write with its head, and bytes do not.
    if (passed === bytes && kept.length === 0) return end.apply(this, given as [Callback?]);
    // In one piece with its end, so that a short answer still gets its length.
    const last = passed === undefined ? kept : kept.length === 0 ? passed : Buffer.concat([passed, kept]);
    return last.length === 0
      ? end.call(this, callback)
      : (end as unknown as (chunk: Buffer, callback?: Callback) => ServerResponse).call(this, last, callback);
  } as ServerResponse['end'];
}

/** What `res.json` and `res.send` give to `end`: all of the body at once. */
function isWhole(chunk: unknown, encoding: unknown): chunk is Buffer | string {
  if (typeof chunk === 'string') return chunk !== '' && (encoding === undefined || encoding === 'utf8');
  return Buffer.isBuffer(chunk) && chunk.length > 0;
}

function argumentsOf(rest: unknown[]): { encoding: BufferEncoding | undefined; callback: Callback | undefined } {
  const encoding = typeof rest[0] === 'string' ? (rest[0] as BufferEncoding) : undefined;
  const callback = rest.find((argument) => typeof argument === 'function') as Callback | undefined;
  return { encoding, callback };
}

function bytesOf(chunk: unknown, encoding: BufferEncoding | undefined): Buffer | undefined {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding);
  if (Buffer.isBuffer(chunk)) return chunk;
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  return undefined;
}

const noBytes = Buffer.alloc(0);
