import { isKeyRecord } from '../../keys/record-check.ts';
import type { VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { Store } from '../../stores/store.ts';
import type { LiteLLMKeys } from '../client/keys.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import type { TwinRecord, TwinRows } from '../mirror/twin-rows.ts';

/** A part of a list, and how long the whole list is. */
export interface WalkedPage<T> {
  readonly items: readonly T[];
  readonly total: number;
}

/** A key of LiteLLM whose token is told, as it is in lists. */
export interface ListedKey extends LiteLLMKey {
  readonly token: string;
}

/** A key of ours, and what is known of its twins; `undefined`: the mirror has never heard of it. */
export interface OurKey {
  readonly record: VirtualKeyRecord;
  readonly twin: TwinRecord | undefined;
}

/** The most that LiteLLM lists at once, and what we list at once. */
const pageSize = 100;

/**
 * What LiteLLM lists, in the order of tokens. Its pages are counted, so that a key may be told twice, or be missed, where
 * others are made and removed meanwhile: read a key before judging it.
 */
export async function* walkTheirs(keys: LiteLLMKeys): AsyncGenerator<WalkedPage<ListedKey>, void> {
  for (let page = 1; ; page += 1) {
    const listed = await keys.list({ page, size: pageSize });
    const items = listed.keys.flatMap((key) => (key.token === null ? [] : [{ ...key, token: key.token }]));
    yield { items, total: listed.total_count };
    if (page >= listed.total_pages || listed.keys.length === 0) return;
  }
}

/** Every key of ours, newest first. Records that cannot be read are left out: looking at them tells of it. */
export async function* walkOurs(
  store: Pick<Store, 'listKeys'>,
  rows: Pick<TwinRows, 'findAll'>,
): AsyncGenerator<WalkedPage<OurKey>, void> {
  let cursor: string | undefined;
  do {
    const { items, total, nextCursor } = await store.listKeys({}, { limit: pageSize, cursor });
    const records = items.filter((record) => isKeyRecord(record));
    const twins = new Map((await rows.findAll(records.map(({ id }) => id))).map((twin) => [twin.keyId, twin]));
    yield { items: records.map((record) => ({ record, twin: twins.get(record.id) })), total };
    cursor = nextCursor ?? undefined;
  } while (cursor !== undefined);
}
