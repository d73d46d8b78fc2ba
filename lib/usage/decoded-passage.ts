import * as zlib from 'node:zlib';
import { unreadPassage } from './content-passage.ts';
import type { Reading } from './formats/reading.ts';
import { noBytes, type Passage } from './passage.ts';

/** Decoding lags behind by what waits for the thread pool; one that lags by more than this is given up. */
const maxWaitingBytes = 8 * 1024 * 1024;
/** A small response may unfold to gigabytes. */
const maxDecodedBytes = 64 * 1024 * 1024;

/** Passes an encoded body on as it is, and sends a decoded copy down another passage, which is read only. */
export function decodedPassage(encoding: string, content: Passage, reading: Reading): Passage {
  const create = decoders.get(encoding);
  if (create === undefined) return unreadPassage(reading, 'content_encoding');

  let decoder: DecodingStream | undefined;
  let decodedBytes = 0;
  let hasFailed = false;
  let hasClosed = () => {};
  const closed = new Promise<void>((resolve) => {
    hasClosed = resolve;
  });

  const fail = () => {
    hasFailed = true;
    reading.problem = 'content_encoding';
    decoder?.destroy();
  };

  const open = (first: Buffer) => {
    const opened = create(first);
    opened.on('data', (bytes: Buffer) => {
      decodedBytes += bytes.length;
      if (decodedBytes > maxDecodedBytes) fail();
      if (!hasFailed) content.write(bytes);
    });
    opened.on('error', fail);
    opened.on('close', () => {
      content.end();
      hasClosed();
    });
    return opened;
  };

  return {
    write(chunk) {
      if (hasFailed || chunk.length === 0) return chunk;
      decoder ??= open(chunk);
      decoder.write(chunk);
      if (decoder.writableLength > maxWaitingBytes) fail();
      return chunk;
    },
    end() {
      if (decoder === undefined) hasClosed();
      else if (!hasFailed) decoder.end();
      return noBytes;
    },
    closed,
  };
}

type DecodingStream = ReturnType<typeof zlib.createGunzip | typeof zlib.createBrotliDecompress>;

// Responses break off: with these flushes, what came until then is decoded instead of an error.
const zlibOptions = { finishFlush: zlib.constants.Z_SYNC_FLUSH };
const brotliOptions = { finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH };

const decoders = new Map<string, (first: Buffer) => DecodingStream>([
  ['gzip', () => zlib.createGunzip(zlibOptions)],
  ['x-gzip', () => zlib.createGunzip(zlibOptions)],
  ['deflate', createInflate],
  ['br', () => zlib.createBrotliDecompress(brotliOptions)],
]);

// Node.js has it since 22.15; the types of Node.js 20 don't.
const createZstdDecompress: unknown = Reflect.get(zlib, 'createZstdDecompress');
if (typeof createZstdDecompress === 'function') decoders.set('zstd', () => createZstdDecompress());

/** RFC 9110 wants a zlib header; some servers send bare deflate all the same. */
function createInflate(first: Buffer): DecodingStream {
  const hasZlibHeader = ((first[0] ?? 0) & 0x0f) === 0x08;
  return hasZlibHeader ? zlib.createInflate(zlibOptions) : zlib.createInflateRaw(zlibOptions);
}
