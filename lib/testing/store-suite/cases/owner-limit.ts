import assert from 'node:assert/strict';
import { concurrently } from '../concurrent.ts';
import { anyNumber, nextVersion, sampleChange, sampleKey } from '../sample-records.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { minuteMs } from '../test-clock.ts';

export const ownerLimitCases: readonly StoreCase[] = [
  storeCase(
    'records',
    'of concurrent keys of one owner exactly as many are stored as may be active',
    async (session) => {
      const { store, clock } = session;
      const outcomes = await concurrently(20, () =>
        store.insertKey(sampleKey(clock.now(), { ownerId: 'ann' }), sampleChange(), { maxActive: 10 }),
      );
      assert.equal(outcomes.filter(({ outcome }) => outcome === 'inserted').length, 10);
      assert.equal(outcomes.filter(({ outcome }) => outcome === 'owner_limit').length, 10);
      assert.equal((await store.countKeys({ ownerIds: ['ann'] })).active, 10);
    },
  ),

  storeCase('records', 'keys that are not active, or belong to others, leave room', async ({ store, clock }) => {
    const insert = (fields: Parameters<typeof sampleKey>[1], maxActive: number | null) =>
      store.insertKey(sampleKey(clock.now(), fields), sampleChange(), { maxActive });
    await insert({ ownerId: 'ann', expiresAtMs: clock.now() }, null);
    await insert({ ownerId: 'ann', disabledAtMs: clock.now() }, null);
    await insert({ ownerId: 'ann', revokedAtMs: clock.now() }, null);
    await insert({ ownerId: 'bob' }, null);
    await insert({ ownerId: null }, null);
    assert.equal((await insert({ ownerId: 'ann' }, 1)).outcome, 'inserted');
    assert.equal((await insert({ ownerId: 'ann' }, 1)).outcome, 'owner_limit');
    assert.equal((await insert({ ownerId: 'ann', disabledAtMs: clock.now() }, 1)).outcome, 'inserted');
    assert.equal((await insert({ ownerId: null }, 1)).outcome, 'inserted');
  }),

  storeCase('records', 'a change that makes one more key of the owner active is refused', async ({ store, clock }) => {
    const nowMs = clock.now();
    const active = sampleKey(nowMs, { ownerId: 'ann' });
    const disabled = sampleKey(nowMs, { ownerId: 'ann', disabledAtMs: nowMs });
    const expiring = sampleKey(nowMs, { ownerId: 'ann', expiresAtMs: nowMs });
    const foreign = sampleKey(nowMs, { ownerId: 'bob' });
    for (const key of [active, disabled, expiring, foreign]) await store.insertKey(key, sampleChange(), anyNumber);
    const update = (record: typeof active) => store.updateKey(record, sampleChange(), { maxActive: 1 });
    const refused = { outcome: 'owner_limit' };
    assert.deepEqual(await update(nextVersion(disabled, { disabledAtMs: null })), refused);
    assert.deepEqual(await update(nextVersion(expiring, { expiresAtMs: nowMs + minuteMs })), refused);
    assert.deepEqual(await update(nextVersion(foreign, { ownerId: 'ann' })), refused);
    assert.equal((await update(nextVersion(active, { name: 'Still active' }))).outcome, 'updated');
    assert.equal((await update(nextVersion(disabled, { name: 'Still disabled' }))).outcome, 'updated');
    assert.equal((await update(nextVersion(foreign, { ownerId: 'cleo' }))).outcome, 'updated');
  }),
];
