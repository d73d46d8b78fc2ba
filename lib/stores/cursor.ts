import type { Listed, Page } from './store.ts';

/** Where a row stands in a list: newest first by time, then by id. */
export interface Position {
  readonly atMs: number;
  readonly id: string;
}

/** Whether `a` comes before `b` in a list that shows the newest first. */
export function comesBefore(a: Position, b: Position): boolean {
  return a.atMs === b.atMs ? a.id > b.id : a.atMs > b.atMs;
}

/** An opaque text for the position after which a next page begins. */
export function encodeCursor({ atMs, id }: Position): string {
  return Buffer.from(JSON.stringify([atMs, id])).toString('base64url');
}

/** `undefined` for a text that no list gave. */
export function readCursor(cursor: string): Position | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (!Array.isArray(parsed) || parsed.length !== 2) return undefined;
    const [atMs, id] = parsed;
    return typeof atMs === 'number' && typeof id === 'string' ? { atMs, id } : undefined;
  } catch {
    return undefined;
  }
}

/** Cuts a page out of all rows that match, which stand newest first. */
export function cutPage<T>(rows: readonly T[], page: Page, positionOf: (row: T) => Position): Listed<T> {
  const start = 'page' in page ? (page.page - 1) * page.limit : afterCursor(rows, page.cursor, positionOf);
  const items = rows.slice(start, start + page.limit);
  const last = items.at(-1);
  const more = last !== undefined && start + page.limit < rows.length;
  return { items, total: rows.length, nextCursor: more ? encodeCursor(positionOf(last)) : null };
}

function afterCursor<T>(rows: readonly T[], cursor: string | undefined, positionOf: (row: T) => Position): number {
  if (cursor === undefined) return 0;
  const after = readCursor(cursor);
  if (after === undefined) return rows.length;
  const start = rows.findIndex((row) => comesBefore(after, positionOf(row)));
  return start === -1 ? rows.length : start;
}
