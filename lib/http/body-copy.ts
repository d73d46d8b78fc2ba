import { brotliDecompressSync, unzipSync } from 'node:zlib';

const maxBytes = 8 * 1024 * 1024;

/** A copy of a body that passes by, for reading it as JSON when it is complete. */
export interface BodyCopy {
  add(chunk: Buffer): void;
  /** `undefined` for what is not JSON, and for more than 8 MiB, before or after decoding. */
  json(contentEncoding: string | undefined): unknown;
}

export function createBodyCopy(): BodyCopy {
  let chunks: Buffer[] = [];
  let size = 0;
  return {
    add(chunk) {
      size += chunk.length;
      if (size > maxBytes) chunks = [];
      else chunks.push(chunk);
    },
    json(contentEncoding) {
      if (size > maxBytes) return undefined;
      try {
        return JSON.parse(decoded(Buffer.concat(chunks), contentEncoding).toString()) as unknown;
      } catch {
        return undefined;
      }
    },
  };
}

function decoded(body: Buffer, contentEncoding = ''): Buffer {
  const encoding = contentEncoding.trim().toLowerCase();
  if (encoding === 'br') return brotliDecompressSync(body, { maxOutputLength: maxBytes });
  // Both gzip and deflate.
  return encoding === '' || encoding === 'identity' ? body : unzipSync(body, { maxOutputLength: maxBytes });
}
