import type { ServerResponse } from 'node:http';
import { createGzip, type Gzip } from 'node:zlib';
import type { RequestHandler } from 'express';

/**
 * Compresses every response the way compressing middlewares do it: it decides when the head is written, by hands laid on
 * `writeHead`, `write` and `end`.
 */
export const compress: RequestHandler = (_req, res, next) => {
  const original = {
    writeHead: res.writeHead as (...head: unknown[]) => ServerResponse,
    write: res.write as (chunk: Buffer) => boolean,
    end: res.end as () => ServerResponse,
  };
  let gzip: Gzip | undefined;

  function openGzip(): Gzip {
    if (!res.headersSent) res.writeHead(res.statusCode);
    if (gzip === undefined) throw new Error('The head was written before this middleware saw it');
    return gzip;
  }

  res.writeHead = ((...head: unknown[]) => {
    if (gzip === undefined) {
      gzip = createGzip();
      gzip.on('data', (chunk: Buffer) => original.write.call(res, chunk));
      gzip.on('end', () => original.end.call(res));
      res.setHeader('content-encoding', 'gzip');
      res.removeHeader('content-length');
    }
    return original.writeHead.apply(res, head);
  }) as typeof res.writeHead;
  res.write = ((chunk: Buffer, ...rest: []) => openGzip().write(chunk, ...rest)) as typeof res.write;
  res.end = ((chunk?: Buffer) => {
    openGzip().end(chunk);
    return res;
  }) as typeof res.end;
  next();
};
