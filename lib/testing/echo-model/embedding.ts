import { createHash } from 'node:crypto';

/** Few enough to be read in a log. */
const defaultDimensions = 8;
const maxDimensions = 4096;

/** A vector of length 1 that is the same for the same text, and hardly ever for another. */
export function embed(text: string, dimensions: unknown): readonly number[] {
  const size =
    typeof dimensions === 'number' && dimensions >= 1 ? Math.min(maxDimensions, dimensions) : defaultDimensions;
  const bytes: number[] = [];
  for (let block = 0; bytes.length < size; block += 1) {
    bytes.push(...createHash('sha256').update(`${block}:${text}`).digest());
  }
  const vector = bytes.slice(0, size).map((byte) => byte / 255 - 0.5);
  const length = Math.hypot(...vector);
  // As it is after a journey as base64, so that both encodings tell the same numbers.
  return vector.map((value) => Math.fround(value / length));
}

/** A vector as OpenAI encodes it: little-endian 32-bit floats in base64. */
export function encodeVector(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
