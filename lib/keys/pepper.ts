import { createHmac } from 'node:crypto';
import { refuseUnknownOptions } from '../options.ts';

/** A secret of the service itself, kept apart from the store, with the name that stored hashes carry. */
export interface PepperValue {
  /** 1 to 32 characters of `A-Z a-z 0-9 _ . -`. Never give one id to two values. */
  readonly id: string;
  /** At least 16 bytes, at random. */
  readonly value: string | Buffer;
}

/**
 * The pepper that new hashes are made with, and those before it. To rotate, move the current one to `previous`: keys
 * stay valid as long as the pepper they were hashed with is listed. Keys from before the first pepper stay valid too.
 */
export interface Pepper extends PepperValue {
  readonly previous?: readonly PepperValue[] | undefined;
}

/** Hashes a digest with one pepper: `<pepper id>:<HMAC-SHA-256 in hex>`. */
export type PepperedHash = (digest: string) => string;

const minBytes = 16;
const idShape = /^[\w.-]{1,32}$/;

/**
 * Hashes with each pepper, the current one first.
 *
 * @throws TypeError naming what is wrong with the option, never its value
 */
export function pepperedHashes(pepper: Pepper): readonly PepperedHash[] {
  if (typeof pepper !== 'object' || pepper === null) {
    throw new TypeError('createVirtualKeys: pepper must be { id, value, previous? }');
  }
  refuseUnknownOptions('createVirtualKeys: pepper', pepper, ['id', 'value', 'previous']);
  const { id, value, previous = [] } = pepper;
  if (!Array.isArray(previous))
    throw new TypeError('createVirtualKeys: pepper.previous must be a list of { id, value }');
  const all: readonly PepperValue[] = [{ id, value }, ...previous];
  const ids = new Set<string>();
  for (const candidate of all) {
    checkPepper(candidate);
    if (ids.has(candidate.id)) throw new TypeError(`createVirtualKeys: pepper ${candidate.id} is listed twice`);
    ids.add(candidate.id);
  }
  return all.map((each) => (digest) => `${each.id}:${createHmac('sha256', each.value).update(digest).digest('hex')}`);
}

function checkPepper({ id, value }: PepperValue): void {
  if (typeof id !== 'string' || !idShape.test(id)) {
    throw new TypeError('createVirtualKeys: pepper.id must be 1 to 32 characters of A-Z a-z 0-9 _ . -');
  }
  const bytes = typeof value === 'string' || Buffer.isBuffer(value) ? Buffer.byteLength(value) : 0;
  if (bytes < minBytes) {
    throw new TypeError(
      `createVirtualKeys: the value of pepper ${id} must be a string or Buffer of at least ${minBytes} bytes`,
    );
  }
}
