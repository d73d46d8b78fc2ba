import { encodeCursor, type Position, readCursor } from '../cursor.ts';
import type { Listed, Page } from '../store.ts';
import { type Conditions, isStorable } from './conditions.ts';
import type { PostgresConnection } from './connection.ts';

export interface PagedList<Row, T> {
  /** What follows `select`, of rows that are called `k`. */
  readonly columns: string;
  readonly table: string;
  readonly conditions: Conditions;
  /** The columns of a position: that of its time, and of its id where times may be equal. */
  readonly order: readonly [at: string, id?: string];
  readonly page: Page;
  readonly positionOf: (row: Row) => Position;
  /** `undefined` leaves a row out: it cannot be read. */
  readonly read: (row: Row) => T | undefined;
}

/** One page, the newest first, and how many rows there are on all of them. */
export async function listPage<Row, T>({ query }: PostgresConnection, list: PagedList<Row, T>): Promise<Listed<T>> {
  const { columns, table, conditions, order, page, positionOf, read } = list;
  const counted = query<{ total: string }>(`select count(*) as total from ${table} k where ${conditions.sql()}`, [
    ...conditions.values,
  ]);
  const [[count], rows] = await Promise.all([counted, readRows()]);
  const shown = rows.slice(0, page.limit);
  const last = shown.at(-1);
  return {
    items: shown.flatMap((row) => read(row) ?? []),
    total: Number(count?.total),
    nextCursor: last !== undefined && rows.length > page.limit ? encodeCursor(positionOf(last)) : null,
  };

  /** One row more than the page has tells whether there is a next one. */
  async function readRows(): Promise<readonly Row[]> {
    const values = [...conditions.values];
    const bind = (value: unknown) => `$${values.push(value)}`;
    let where = conditions.sql();
    if ('cursor' in page && page.cursor !== undefined) {
      const after = positionAfter(page.cursor);
      if (after === undefined) return [];
      where +=
        order.length === 1
          ? ` and ${order[0]} < ${bind(after.atMs)}`
          : ` and (${order.join(', ')}) < (${bind(after.atMs)}, ${bind(after.id)})`;
    }
    const offset = 'page' in page ? (page.page - 1) * page.limit : 0;
    const newestFirst = order.map((column) => `${column} desc`).join(', ');
    // Rows that are passed over would have their columns made, too, which takes longer than to pass over them.
    return query<Row>(
      `select ${columns} from (
  select * from ${table} k where ${where} order by ${newestFirst} limit ${bind(page.limit + 1)} offset ${bind(offset)}
) k order by ${newestFirst}`,
      values,
    );
  }
}

/** A cursor comes from a client, who may have made it up. */
function positionAfter(cursor: string): Position | undefined {
  const position = readCursor(cursor);
  return position !== undefined && Number.isSafeInteger(position.atMs) && isStorable(position.id)
    ? position
    : undefined;
}
