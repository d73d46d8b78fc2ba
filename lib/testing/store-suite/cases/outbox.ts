import assert from 'node:assert/strict';
import type { ClaimedRow, Store } from '../../../stores/store.ts';
import { anyNumber, nextVersion, sampleChange, sampleKey } from '../sample-records.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { minuteMs, secondMs } from '../test-clock.ts';

const leaseMs = minuteMs;

export const outboxCases: readonly StoreCase[] = [
  storeCase('records', 'of workers who claim at once each row goes to one', async ({ store }) => {
    await store.enqueueOutbox(['a', 'b', 'c', 'd', 'e'], 0);
    const claims = await Promise.all([1, 2, 3, 4].map(() => store.claimOutbox(2, leaseMs)));
    assert.deepEqual(keyIdsOf(claims.flat()).toSorted(), ['a', 'b', 'c', 'd', 'e']);
    assert.equal(new Set(claims.flat().map(({ leaseId }) => leaseId)).size, 5);
    assert.deepEqual(await store.claimOutbox(10, leaseMs), []);
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 5, later: 0 });
  }),

  storeCase('records', 'rows of some keys may be claimed before older ones of others', async ({ store }) => {
    await store.enqueueOutbox(['a', 'b', 'c', 'a'], 0);
    await store.enqueueOutbox([], 0);
    assert.deepEqual(keyIdsOf(await store.claimOutbox(10, leaseMs, ['c', 'none', 'c'])), ['c']);
    assert.deepEqual(await store.claimOutbox(10, leaseMs, ['c']), []);
    assert.deepEqual(await store.claimOutbox(10, leaseMs, []), []);
    assert.deepEqual(keyIdsOf(await store.claimOutbox(10, leaseMs)).toSorted(), ['a', 'b']);
  }),

  storeCase('records', 'rows are claimed first that could be claimed for longest', async ({ store, clock }) => {
    await store.enqueueOutbox(['lost'], 0);
    await claimOne(store);
    const delays = { d: 90 * secondMs, b: 20 * secondMs, c: 70 * secondMs, a: 10 * secondMs };
    for (const [keyId, delayMs] of Object.entries(delays)) await store.enqueueOutbox([keyId], delayMs);
    assert.deepEqual(
      (await store.readOutbox(3)).map(({ keyId }) => keyId),
      ['a', 'b', 'lost'],
    );
    clock.advance(80 * secondMs);
    assert.deepEqual(await store.outboxBacklog(), { due: 4, claimed: 0, later: 1 });
    assert.deepEqual(keyIdsOf(await store.claimOutbox(2, leaseMs)), ['a', 'b']);
    assert.deepEqual(keyIdsOf(await store.claimOutbox(10, leaseMs, ['c', 'd', 'lost'])), ['lost', 'c']);
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 4, later: 1 });
  }),

  storeCase('records', 'a row without a change is due after its delay, or when its key changes', async (session) => {
    const { store, clock } = session;
    await store.enqueueOutbox(['a', 'b'], 10 * secondMs);
    assert.deepEqual(await store.claimOutbox(10, leaseMs), []);
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 0, later: 2 });
    await insertKey(session, 'b');
    await store.enqueueOutbox(['a', 'b'], minuteMs);
    assert.deepEqual(keyIdsOf(await store.claimOutbox(10, leaseMs)), ['b']);
    clock.advance(10 * secondMs);
    assert.deepEqual(keyIdsOf(await store.claimOutbox(10, leaseMs)), ['a']);
  }),

  storeCase(
    'records',
    'a row that is written anew stays with its worker, and is there when he ends',
    async (session) => {
      const { store } = session;
      const key = await insertKey(session, 'a');
      const first = await claimOne(store);
      await store.updateKey(nextVersion(key, {}), sampleChange({ outbox: true }), anyNumber);
      await store.enqueueOutbox(['a'], 0);
      assert.deepEqual(await store.claimOutbox(10, leaseMs), []);
      await store.clearOutbox([first]);
      const second = await claimOne(store);
      assert.notEqual(second.id, first.id);
      assert.deepEqual([second.attempts, second.isTakenOver], [1, false]);
      await store.clearOutbox([second]);
      assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 0, later: 0 });
      assert.deepEqual(await store.readOutbox(10), []);
    },
  ),

  storeCase('records', 'a row that is put off comes again later, and counts its attempts', async (session) => {
    const { store, clock } = session;
    await store.enqueueOutbox(['a'], 0);
    for (const attempts of [1, 2, 3]) {
      const row = await claimOne(store);
      assert.deepEqual([row.attempts, row.isTakenOver], [attempts, false]);
      await store.deferOutbox(row, 5 * secondMs);
      clock.advance(5 * secondMs - 1);
      assert.deepEqual(await store.claimOutbox(10, leaseMs), []);
      clock.advance(1);
    }
    const row = await claimOne(store);
    await insertKey(session, 'a');
    await store.deferOutbox(row, minuteMs);
    assert.equal((await claimOne(store)).attempts, 1);
  }),

  storeCase('records', 'what is to come later of a claimed row comes later when its worker ends', async (session) => {
    const { store, clock } = session;
    await store.enqueueOutbox(['a', 'b'], 0);
    for (const row of await store.claimOutbox(10, leaseMs)) {
      await store.enqueueOutbox([row.keyId], 20 * secondMs);
      await store.enqueueOutbox([row.keyId], 30 * secondMs);
      if (row.keyId === 'a') await store.clearOutbox([row]);
      else await store.deferOutbox(row, 0);
    }
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 0, later: 2 });
    clock.advance(20 * secondMs - 1);
    assert.deepEqual(await store.claimOutbox(10, leaseMs), []);
    clock.advance(1);
    const rows = await store.claimOutbox(10, leaseMs);
    assert.deepEqual(
      rows.map(({ attempts, isTakenOver }) => [attempts, isTakenOver]),
      [
        [1, false],
        [1, false],
      ],
    );
  }),

  storeCase('records', 'a worker whose lease has ended still ends it, if nobody has taken over', async (session) => {
    const { store, clock } = session;
    await store.enqueueOutbox(['cleared', 'deferred', 'rewritten'], 0);
    const rows = await store.claimOutbox(10, leaseMs);
    clock.advance(leaseMs);
    await insertKey(session, 'rewritten');
    assert.deepEqual(await store.outboxBacklog(), { due: 3, claimed: 0, later: 0 });
    for (const row of rows) {
      if (row.keyId === 'cleared') await store.clearOutbox([row]);
      else await store.deferOutbox(row, minuteMs);
    }
    const row = await claimOne(store);
    assert.deepEqual([row.keyId, row.attempts, row.isTakenOver], ['rewritten', 1, false]);
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 1, later: 1 });
  }),

  storeCase('records', 'a row that was read is cleared whoever has it, and his lease is over', async ({ store }) => {
    await store.enqueueOutbox(['a'], 0);
    const read = await store.readOutbox(10);
    const claimed = await claimOne(store);
    await store.clearOutbox(read);
    await store.deferOutbox(claimed, 0);
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 0, later: 0 });
    await store.enqueueOutbox(['a'], 0);
    assert.deepEqual((await claimOne(store)).isTakenOver, false);
  }),

  storeCase(
    'records',
    'the row of a lost worker goes to another, and is not the lost one’s any more',
    async (session) => {
      const { store, clock } = session;
      await store.enqueueOutbox(['a'], 0);
      const lost = await claimOne(store);
      clock.advance(leaseMs - 1);
      assert.deepEqual(await store.claimOutbox(10, leaseMs), []);
      clock.advance(1);
      const taken = await claimOne(store);
      assert.deepEqual([taken.id, taken.attempts, taken.isTakenOver], [lost.id, 2, true]);
      await store.clearOutbox([lost]);
      await store.deferOutbox(lost, 0);
      assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 1, later: 0 });
      await store.clearOutbox([taken]);
      assert.deepEqual(await store.readOutbox(10), []);
    },
  ),

  storeCase('records', 'the row of a lost worker that was written anew is taken over at once', async (session) => {
    const { store, clock } = session;
    await store.enqueueOutbox(['a', 'b'], 0);
    const lost = await store.claimOutbox(10, leaseMs);
    await store.enqueueOutbox(['a'], 5 * minuteMs);
    clock.advance(leaseMs);
    await insertKey(session, 'b');
    const taken = await store.claimOutbox(10, leaseMs);
    assert.deepEqual(taken.map(({ keyId, attempts, isTakenOver }) => [keyId, attempts, isTakenOver]).toSorted(), [
      ['a', 1, true],
      ['b', 1, true],
    ]);
    await store.clearOutbox(lost);
    assert.deepEqual(await store.outboxBacklog(), { due: 0, claimed: 2, later: 0 });
  }),
];

function keyIdsOf(rows: readonly ClaimedRow[]): readonly string[] {
  return rows.map(({ keyId }) => keyId);
}

async function claimOne(store: Store): Promise<ClaimedRow> {
  const [row, ...others] = await store.claimOutbox(10, leaseMs);
  assert.ok(row !== undefined && others.length === 0, 'one row is due');
  return row;
}

async function insertKey({ store, clock }: Session, id: string) {
  const key = sampleKey(clock.now(), { id });
  await store.insertKey(key, sampleChange({ outbox: true }), anyNumber);
  return key;
}
