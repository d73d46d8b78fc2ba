import type { Position } from '../../cursor.ts';
import { quoted, unquoted } from './names.ts';

// A sorted set whose scores are all 0 is ordered by its texts. With a time of fixed width first they stand in the order of
// every list, and a cursor is found by its text, also when its row is gone.
const timeDigits = 16;

/** How a row stands in a list: by time, then by id. */
export function entryOf({ atMs, id }: Position): string {
  return `${String(atMs).padStart(timeDigits, '0')}${quoted(id)}`;
}

export function positionOf(entry: string): Position {
  return { atMs: Number(entry.slice(0, timeDigits)), id: unquoted(entry.slice(timeDigits)) };
}
