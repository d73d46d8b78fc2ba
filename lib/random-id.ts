import { randomFillSync } from 'node:crypto';

const idBytes = 16;
const pool = Buffer.allocUnsafe(idBytes * 128);
let used = pool.length;

/**
 * 128 random bits as 32 digits of hex, for ids that are minted with every request. `randomUUID()` joins its
 * text from pieces, which the first `Map` that it is put into has to copy together: there it costs several times as much.
 */
export function randomId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += idBytes;
  return pool.toString('hex', used - idBytes, used);
}
