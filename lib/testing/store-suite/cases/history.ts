import assert from 'node:assert/strict';
import { concurrently } from '../concurrent.ts';
import { anyNumber, nextVersion, sampleAudit, sampleChange, sampleKey } from '../sample-records.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { secondMs } from '../test-clock.ts';

export const historyCases: readonly StoreCase[] = [
  storeCase('records', 'each change leaves its audit row, with the time of the store', async ({ store, clock }) => {
    const key = sampleKey(clock.now());
    const target = `key:${key.id}`;
    const entries = ['created', 'updated', 'deleted'].map((verb) => sampleAudit({ action: `key.${verb}`, target }));
    const [created, updated, deleted] = entries.map((audit) => sampleChange({ audit }));
    const startMs = clock.now();
    await store.insertKey(key, created ?? sampleChange(), anyNumber);
    clock.advance(secondMs);
    await store.updateKey(nextVersion(key, {}), updated ?? sampleChange(), anyNumber);
    clock.advance(secondMs);
    await store.deleteKey(key.id, 2, deleted ?? sampleChange());
    const { items, total } = await store.listAudit({ targets: [target] }, { limit: 10 });
    const rows = entries.map((entry, index) => ({ ...entry, atMs: startMs + index * secondMs }));
    assert.deepEqual(items, rows.reverse());
    assert.equal(total, 3);
  }),

  storeCase('records', 'a change that was not made leaves neither audit nor outbox row', async ({ store, clock }) => {
    const key = sampleKey(clock.now());
    const change = sampleChange({ outbox: true });
    await store.updateKey(nextVersion(key, {}), change, anyNumber);
    await store.deleteKey(key.id, 1, change);
    await store.insertKey({ ...key, ownerId: 'ann' }, change, { maxActive: 0 });
    assert.deepEqual(await store.listAudit({}, { limit: 10 }), { items: [], total: 0, nextCursor: null });
    assert.deepEqual(await store.readOutbox(10), []);
  }),

  storeCase('records', 'an audit row that is added again, also at once, stays one', async ({ store, clock }) => {
    const entry = sampleAudit({ target: 'key:a' });
    await concurrently(5, () => store.appendAudit(entry));
    const atMs = clock.now();
    clock.advance(secondMs);
    await store.appendAudit(entry);
    await store.appendAudit(sampleAudit({ target: 'key:b' }));
    assert.deepEqual((await store.listAudit({ targets: ['key:a'] }, { limit: 10 })).items, [{ ...entry, atMs }]);
    assert.equal((await store.listAudit({}, { limit: 10 })).total, 2);
  }),

  storeCase('records', 'the audit log is paged newest first, and filtered by target and action', async ({ store }) => {
    for (let number = 0; number < 5; number += 1) {
      await store.appendAudit(sampleAudit({ id: `row-${number}`, target: 'key:a', action: `act-${number % 2}` }));
    }
    await store.appendAudit(sampleAudit({ id: 'other', target: 'key:b', action: 'act-0' }));
    const first = await store.listAudit({ targets: ['key:a'] }, { limit: 3 });
    assert.deepEqual(
      first.items.map(({ id }) => id),
      ['row-4', 'row-3', 'row-2'],
    );
    const second = await store.listAudit({ targets: ['key:a'] }, { limit: 3, cursor: first.nextCursor ?? '' });
    assert.deepEqual(
      second.items.map(({ id }) => id),
      ['row-1', 'row-0'],
    );
    assert.equal(second.nextCursor, null);
    const filtered = await store.listAudit({ targets: ['key:a', 'key:b'], action: 'act-0' }, { limit: 3, page: 2 });
    assert.deepEqual(
      filtered.items.map(({ id }) => id),
      ['row-0'],
    );
    assert.equal(filtered.total, 4);
    assert.equal((await store.listAudit({ targets: [] }, { limit: 3 })).total, 0);
  }),

  storeCase('records', 'the outbox has one row a key, with its latest revision, oldest first', async (session) => {
    const { store, clock } = session;
    const keys = ['a', 'b'].map((id) => sampleKey(clock.now(), { id }));
    for (const key of keys) await store.insertKey(key, sampleChange({ outbox: true }), anyNumber);
    await store.insertKey(sampleKey(clock.now(), { id: 'unwatched' }), sampleChange(), anyNumber);
    clock.advance(secondMs);
    const [a] = keys;
    if (a !== undefined) await store.updateKey(nextVersion(a, {}), sampleChange({ outbox: true }), anyNumber);
    const rows = await store.readOutbox(10);
    const startMs = clock.now() - secondMs;
    assert.deepEqual(
      rows.map(({ keyId, revision, atMs }) => ({ keyId, revision, atMs })),
      [
        { keyId: 'b', revision: startMs * 1000, atMs: startMs },
        { keyId: 'a', revision: clock.now() * 1000, atMs: clock.now() },
      ],
    );
    assert.deepEqual(await store.readOutbox(1), rows.slice(0, 1));
  }),

  storeCase('records', 'a deleted key leaves an outbox row', async ({ store, clock }) => {
    const key = sampleKey(clock.now());
    await store.insertKey(key, sampleChange(), anyNumber);
    await store.deleteKey(key.id, 1, sampleChange({ outbox: true }));
    assert.deepEqual(
      (await store.readOutbox(10)).map(({ keyId }) => keyId),
      [key.id],
    );
  }),

  storeCase('records', 'clearing the outbox leaves what was written since it was read', async ({ store, clock }) => {
    const key = sampleKey(clock.now());
    const other = sampleKey(clock.now());
    await store.insertKey(key, sampleChange({ outbox: true }), anyNumber);
    await store.insertKey(other, sampleChange({ outbox: true }), anyNumber);
    const rows = await store.readOutbox(10);
    // A new name is no matter for admission: the revision stays, and the mirror has to hear of it all the same.
    const renamed = nextVersion(key, { name: 'Renamed' });
    await store.updateKey(renamed, sampleChange({ outbox: true, fence: false }), anyNumber);
    await store.clearOutbox(rows);
    const left = await store.readOutbox(10);
    assert.deepEqual(
      left.map(({ keyId }) => keyId),
      [key.id],
    );
    await store.clearOutbox(left);
    await store.clearOutbox(rows);
    assert.deepEqual(await store.readOutbox(10), []);
  }),
];
