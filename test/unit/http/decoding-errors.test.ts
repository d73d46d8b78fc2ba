import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { isDecodingError } from '../../../lib/http/decoding-errors.ts';

describe('isDecodingError', () => {
  for (const decode of [zlib.gunzip, zlib.inflate, zlib.brotliDecompress]) {
    it(`knows what ${decode.name} says of bytes that it cannot read`, async () => {
      const error = await promisify(decode)(Buffer.from('{"model":"gpt-4o"}')).catch((reason: unknown) => reason);
      assert.ok(error instanceof Error);
      assert.ok(isDecodingError(error), JSON.stringify(error));
    });
  }

  it('leaves other errors alone', () => {
    const aborted = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
    for (const error of [aborted, new Error('x'), null, 'Z_DATA_ERROR', {}]) assert.ok(!isDecodingError(error));
  });
});
