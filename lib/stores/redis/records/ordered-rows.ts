import { cutPage, readCursor } from '../../cursor.ts';
import type { Listed, Page } from '../../store.ts';
import { asked } from '../script.ts';
import { entryOf, positionOf } from './entries.ts';
import type { RecordConnection } from './record-connection.ts';
import { readEntries } from './record-scripts.ts';

/** Rows read in one act, so that a long list holds nobody else up. */
const atOnce = 1000;

/** Entries of a page, and of how many it is one. */
export type ListedEntries = Listed<string>;

export interface OrderedRows {
  /** A page of an index, without looking at anything else. */
  page(index: string, page: Page): Promise<ListedEntries>;
  /** Entries that stand in any of the indexes, newest first, with the text that `texts` has of each. */
  walk(indexes: readonly string[], texts: string): AsyncGenerator<readonly (readonly [entry: string, text: string])[]>;
}

export function createOrderedRows({ client, run }: RecordConnection): OrderedRows {
  async function* walkOne(index: string, texts: string) {
    let after = '+';
    for (;;) {
      const read = await run(readEntries, [index, texts], [after, atOnce]);
      yield read.entries.map((entry, at) => [entry, read.texts[at] ?? ''] as const);
      const last = read.entries.at(-1);
      if (last === undefined || read.entries.length < atOnce) return;
      after = last;
    }
  }

  async function* walkUnion(indexes: readonly string[], texts: string) {
    const union = await asked(() => client.zunion(indexes.length, [...indexes, 'AGGREGATE', 'MAX']));
    const entries = union.reverse();
    for (let start = 0; start < entries.length; start += atOnce) {
      const some = entries.slice(start, start + atOnce);
      const found = await asked(() => client.hmget(texts, ...some));
      yield some.map((entry, at) => [entry, found[at] ?? ''] as const);
    }
  }

  return {
    async page(index, page) {
      const { limit } = page;
      const total = await asked(() => client.zcard(index));
      const entries = await asked(() => {
        if ('page' in page) return client.zrevrange(index, (page.page - 1) * limit, page.page * limit);
        if (page.cursor === undefined) return client.zrevrange(index, 0, limit);
        const after = readCursor(page.cursor);
        if (after === undefined) return Promise.resolve([]);
        return client.zrevrangebylex(index, `(${entryOf(after)}`, '-', 'LIMIT', 0, limit + 1);
      });
      const cut = cutPage(entries, { limit }, positionOf);
      return { items: cut.items, total, nextCursor: cut.nextCursor };
    },
    walk(indexes, texts) {
      const [index] = indexes;
      if (index !== undefined && indexes.length === 1) return walkOne(index, texts);
      return walkUnion(indexes, texts);
    },
  };
}
