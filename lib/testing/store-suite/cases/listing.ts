import assert from 'node:assert/strict';
import type { VirtualKeyRecord } from '../../../keys/virtual-key.ts';
import type { KeyFilter } from '../../../stores/store.ts';
import { anyNumber, sampleChange, sampleKey } from '../sample-records.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { secondMs } from '../test-clock.ts';

async function insertAll({ store, clock }: Session, ...keys: readonly Partial<VirtualKeyRecord>[]): Promise<void> {
  for (const fields of keys) {
    const { outcome } = await store.insertKey(sampleKey(clock.now(), fields), sampleChange(), anyNumber);
    assert.equal(outcome, 'inserted');
  }
}

/** Ids of the same creation time sort by themselves: `k07` before `k03`. */
function numbered(count: number, fields: Partial<VirtualKeyRecord> = {}): readonly Partial<VirtualKeyRecord>[] {
  return Array.from({ length: count }, (_, index) => ({ ...fields, id: `k${String(index).padStart(2, '0')}` }));
}

function idsOf({ items }: { readonly items: readonly VirtualKeyRecord[] }): readonly string[] {
  return items.map(({ id }) => id);
}

export const listingCases: readonly StoreCase[] = [
  storeCase('records', 'keys are listed newest first, and by id where they are as old', async (session) => {
    await insertAll(session, { id: 'b' }, { id: 'c' }, { id: 'a' });
    session.clock.advance(secondMs);
    await insertAll(session, { id: 'newest' });
    await insertAll(session, { id: 'oldest', createdAtMs: session.clock.now() - 10 * secondMs });
    const { store } = session;
    assert.deepEqual(idsOf(await store.listKeys({}, { limit: 10 })), ['newest', 'c', 'b', 'a', 'oldest']);
  }),

  storeCase('records', 'pages by cursor are disjoint and complete under equal times', async (session) => {
    await insertAll(session, ...numbered(10));
    const first = await session.store.listKeys({}, { limit: 4 });
    assert.deepEqual(idsOf(first), ['k09', 'k08', 'k07', 'k06']);
    assert.equal(first.total, 10);
    const second = await session.store.listKeys({}, { limit: 4, cursor: first.nextCursor ?? '' });
    assert.deepEqual(idsOf(second), ['k05', 'k04', 'k03', 'k02']);
    const third = await session.store.listKeys({}, { limit: 4, cursor: second.nextCursor ?? '' });
    assert.deepEqual(idsOf(third), ['k01', 'k00']);
    assert.equal(third.nextCursor, null);
    assert.equal(third.total, 10);
  }),

  storeCase('records', 'a page by cursor goes on where it was, whatever came and went meanwhile', async (session) => {
    const { store } = session;
    await insertAll(session, ...numbered(6));
    const { nextCursor } = await store.listKeys({}, { limit: 3 });
    session.clock.advance(secondMs);
    await insertAll(session, { id: 'new' });
    await store.deleteKey('k03', 1, sampleChange());
    const rest = await store.listKeys({}, { limit: 3, cursor: nextCursor ?? '' });
    assert.deepEqual(idsOf(rest), ['k02', 'k01', 'k00']);
  }),

  storeCase('records', 'pages by number are disjoint, and empty past the end', async (session) => {
    await insertAll(session, ...numbered(10));
    const page = (number: number) => session.store.listKeys({}, { limit: 5, page: number });
    assert.deepEqual(idsOf(await page(1)), ['k09', 'k08', 'k07', 'k06', 'k05']);
    assert.deepEqual(idsOf(await page(2)), ['k04', 'k03', 'k02', 'k01', 'k00']);
    assert.deepEqual(await page(3), { items: [], total: 10, nextCursor: null });
  }),

  storeCase('records', 'a cursor that no list gave leads to an empty page', async (session) => {
    await insertAll(session, ...numbered(2));
    for (const cursor of ['nonsense', 'W10', 'bnVsbA', "'; --"]) {
      assert.deepEqual(idsOf(await session.store.listKeys({}, { limit: 5, cursor })), [], cursor);
    }
  }),

  storeCase(
    'records',
    'a filter by models finds keys that list any of them, with all their models',
    async (session) => {
      const { store } = session;
      await insertAll(
        session,
        { id: 'a', models: ['gpt-4', 'claude-3'] },
        { id: 'b', models: ['gpt-4-turbo'] },
        { id: 'c', models: ['gpt-*'] },
        { id: 'd', models: [] },
      );
      const found = await store.listKeys({ models: ['gpt-4'] }, { limit: 10 });
      assert.deepEqual(
        found.items.map(({ id, models }) => ({ id, models })),
        [{ id: 'a', models: ['gpt-4', 'claude-3'] }],
      );
      assert.deepEqual(idsOf(await store.listKeys({ models: ['claude-3', 'gpt-*'] }, { limit: 10 })), ['c', 'a']);
      assert.deepEqual(idsOf(await store.listKeys({ models: [] }, { limit: 10 })), []);
    },
  ),

  storeCase('records', 'filters by owner, team, tag and text are all met', async (session) => {
    await insertAll(
      session,
      { id: 'a', ownerId: 'ann', teamId: 'red', tags: ['prod', 'eu'], name: 'Chat 100%', alias: 'chat_1' },
      { id: 'b', ownerId: 'bob', teamId: 'red', tags: ['prod'], name: 'Batch', alias: 'batch_1' },
      { id: 'c', ownerId: 'ann', teamId: 'blue', tags: [], name: 'Other', alias: 'CHAT-2' },
      { id: 'd', name: 'Nobody', alias: 'x_9' },
    );
    const ids = async (filter: KeyFilter) => idsOf(await session.store.listKeys(filter, { limit: 10 }));
    assert.deepEqual(await ids({ ownerIds: ['ann'] }), ['c', 'a']);
    assert.deepEqual(await ids({ ownerIds: ['ann', 'bob'] }), ['c', 'b', 'a']);
    assert.deepEqual(await ids({ ownerIds: [] }), []);
    assert.deepEqual(await ids({ teamIds: ['red'] }), ['b', 'a']);
    assert.deepEqual(await ids({ tag: 'prod' }), ['b', 'a']);
    assert.deepEqual(await ids({ tag: 'pro' }), []);
    assert.deepEqual(await ids({ search: 'chat' }), ['c', 'a']);
    assert.deepEqual(await ids({ search: '100%' }), ['a']);
    assert.deepEqual(await ids({ search: '%' }), ['a']);
    assert.deepEqual(await ids({ search: 'x_9' }), ['d']);
    assert.deepEqual(await ids({ ownerIds: ['ann'], teamIds: ['red'], tag: 'eu', search: 'CHAT' }), ['a']);
    assert.deepEqual(await ids({ ownerIds: ['ann'], tag: 'none' }), []);
  }),

  storeCase('records', 'every key has exactly one status: revoked before disabled before expired', async (session) => {
    const { store, clock } = session;
    const nowMs = clock.now();
    const revokedAtMs = nowMs;
    const expiresAtMs = nowMs;
    await insertAll(
      session,
      ...numbered(5, { expiresAtMs: nowMs + 1 }),
      ...Array.from({ length: 3 }, () => ({ revokedAtMs })),
      { revokedAtMs, expiresAtMs, disabledAtMs: nowMs },
      { expiresAtMs },
      { expiresAtMs },
      { disabledAtMs: nowMs, expiresAtMs },
    );
    assert.deepEqual(await store.countKeys({}), { active: 5, disabled: 1, expired: 2, revoked: 4, total: 12 });
    for (const status of ['active', 'disabled', 'expired', 'revoked'] as const) {
      const counts = await store.countKeys({});
      assert.equal((await store.listKeys({ status }, { limit: 20 })).total, counts[status], status);
    }
    clock.advance(1);
    assert.deepEqual(await store.countKeys({}), { active: 0, disabled: 1, expired: 7, revoked: 4, total: 12 });
  }),

  storeCase('records', 'counts are of the keys that a filter leaves', async (session) => {
    await insertAll(session, { ownerId: 'ann' }, { ownerId: 'ann', revokedAtMs: 1 }, { ownerId: 'bob' });
    assert.deepEqual(await session.store.countKeys({ ownerIds: ['ann'] }), {
      active: 1,
      disabled: 0,
      expired: 0,
      revoked: 1,
      total: 2,
    });
  }),
];
