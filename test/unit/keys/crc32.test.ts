import assert from 'node:assert/strict';
import { crc32 as crc32OfZip } from 'node:zlib';
import fc from 'fast-check';
import { crc32 } from '../../../lib/keys/crc32.ts';

describe('crc32', () => {
  it('gives the check value of the algorithm', () => {
    assert.equal(crc32('123456789'), 0xcb_f4_39_26);
    assert.equal(crc32(''), 0);
  });

  it('agrees with zlib over ASCII, and stops where it is told', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), fc.nat(20), (text, length) => {
        const end = Math.min(length, text.length);
        assert.equal(crc32(text), crc32OfZip(text));
        assert.equal(crc32(text, end), crc32OfZip(text.slice(0, end)));
      }),
    );
  });
});
