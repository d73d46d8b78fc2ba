import assert from 'node:assert/strict';
import { type MemoryStoreOptions, memoryStore } from '../../../../lib/stores/memory/memory-store.ts';
import type { StoreNotice } from '../../../../lib/stores/store.ts';
import { createKnownCaller, keyScope, keyWith } from '../../../../lib/testing/store-suite/caller.ts';
import {
  anyNumber,
  nextVersion,
  sampleAudit,
  sampleChange,
  sampleKey,
  samplePolicy,
} from '../../../../lib/testing/store-suite/sample-records.ts';
import type { Session } from '../../../../lib/testing/store-suite/store-case.ts';
import { createTestClock } from '../../../../lib/testing/store-suite/test-clock.ts';

function openStore(options?: MemoryStoreOptions): Session {
  const store = memoryStore(options);
  const clock = createTestClock();
  const notices: StoreNotice[] = [];
  store.open({ clock: clock.now, logger: console, onNotice: (notice) => notices.push(notice) });
  return { store, clock, notices };
}

describe('memoryStore', () => {
  it('refuses options that it does not have, and sizes that are none', () => {
    const unknown = { maxEvents: 5 } as MemoryStoreOptions;
    assert.throws(() => memoryStore(unknown), {
      name: 'TypeError',
      message: /"maxEvents" is no option.*maxUsageEvents/,
    });
    for (const maxAuditRows of [0, 9, -1, 10.5, Number.NaN, Infinity]) {
      assert.throws(() => memoryStore({ maxAuditRows }), { name: 'TypeError', message: /maxAuditRows/ });
    }
    assert.doesNotThrow(() => memoryStore({ maxAuditRows: 10, maxUsageSums: undefined }));
  });

  it('tells everybody who opened it of each change, until they close', async () => {
    const { store, clock, notices } = openStore();
    const others: StoreNotice[] = [];
    const close = store.open({ logger: console, onNotice: (notice) => others.push(notice) });
    const key = sampleKey(clock.now(), { id: 'a' });
    const revision = clock.now() * 1000;
    await store.insertKey(key, sampleChange(), anyNumber);
    await store.updateKey(nextVersion(key, { name: 'b' }), sampleChange({ fence: false }), anyNumber);
    close();
    await store.deleteKey('a', 2, sampleChange());
    await store.putPolicy('team:red', samplePolicy(clock.now()), sampleChange());
    const first = { type: 'changed', scopeId: 'key:a', revision } as const;
    assert.deepEqual(others, [first, first]);
    assert.deepEqual(notices, [
      first,
      first,
      { ...first, revision: revision + 1 },
      { type: 'changed', scopeId: 'team:red', revision },
    ]);
  });

  it('answers the hot calls at once', async () => {
    const session = openStore();
    const caller = await createKnownCaller(session, keyWith());
    const verdict = session.store.admit(caller.admitRequest());
    assert.equal(verdict instanceof Promise, false);
  });

  it('answers a repeated admission as it did at first', async () => {
    const session = openStore();
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 9, tpmLimit: 100 }));
    const request = caller.admitRequest({ tokens: 30 });
    const first = await session.store.admit(request);
    await caller.hold({ tokens: 30 });
    assert.deepEqual(await session.store.admit(request), first);
  });

  it('tells of a step of the clock once, whoever notices it first', async () => {
    for (const noticing of ['settle', 'balances'] as const) {
      const session = openStore();
      const { store, clock, notices } = session;
      const caller = await createKnownCaller(session, keyWith({ tpmLimit: 100 }));
      const hold = await caller.hold({ tokens: 30 });
      clock.advance(-3_600_000);
      if (noticing === 'settle') await caller.settle(hold, { outputTokens: 30 });
      else await store.balances([keyScope]);
      await caller.hold({ tokens: 1 });
      assert.deepEqual(notices, [{ type: 'clock_jump', scopeId: keyScope, limitId: 'tpm' }], noticing);
    }
  });

  it('keeps the latest usage events, and sums them all', async () => {
    const session = openStore({ maxUsageEvents: 10 });
    const caller = await createKnownCaller(session, keyWith());
    for (let call = 0; call < 95; call += 1) {
      await caller.settle(await caller.hold({ trace: `${call}` }), { costUsd: 0.1 });
    }
    const { events, cursor } = await session.store.usageEvents(null, 1000);
    assert.ok(events.length >= 10 && events.length < 20);
    assert.equal(events.at(-1)?.trace, '94');
    assert.match(cursor, /:95$/);
    const [row] = await session.store.usage({ groupBy: [] });
    assert.deepEqual([row?.requests, row?.costNanoUsd], [95, 9_500_000_000]);
    assert.deepEqual((await session.store.usageEvents(cursor.replace(/95$/, '3'), 1)).events, events.slice(0, 1));
  });

  it('drops the oldest sums when there are too many', async () => {
    const session = openStore({ maxUsageSums: 10 });
    const caller = await createKnownCaller(session, keyWith());
    for (let model = 0; model < 35; model += 1) await caller.settle(await caller.hold({ model: `m${model}` }));
    const rows = await session.store.usage({ groupBy: ['model'] });
    assert.ok(rows.length <= 10);
    assert.ok(rows.some(({ group }) => group.model === 'm34'));
  });

  it('counts models beyond a thousand names as one', async () => {
    const session = openStore();
    const caller = await createKnownCaller(session, keyWith());
    for (let model = 0; model < 1010; model += 1) await caller.settle(await caller.hold({ model: `m${model}` }));
    const rows = await session.store.usage({ groupBy: ['model'] });
    assert.equal(rows.length, 1001);
    assert.equal(rows.find(({ group }) => group.model === 'other')?.requests, 10);
  });

  it('keeps the latest audit rows', async () => {
    const { store } = openStore({ maxAuditRows: 10 });
    for (let row = 0; row < 95; row += 1) await store.appendAudit(sampleAudit({ id: `${row}` }));
    const { items, total } = await store.listAudit({}, { limit: 5 });
    assert.ok(total >= 10 && total < 20);
    assert.deepEqual(
      items.map(({ id }) => id),
      ['94', '93', '92', '91', '90'],
    );
  });

  it('keeps the latest alerts, and takes one that it forgot for new', async () => {
    const { store } = openStore({ maxAlerts: 10 });
    const tell = (id: string) =>
      store.insertAlert({
        id,
        type: 'hold.lost',
        scopeId: 'key:a',
        ownerId: null,
        teamId: null,
        keyId: 'a',
        model: null,
        budget: null,
      });
    for (let alert = 0; alert < 25; alert += 1) await tell(`${alert}`);
    const { items } = await store.listAlerts({}, { limit: 100 });
    assert.equal(items.length, 10);
    assert.ok(items.every(({ id }) => Number(id) >= 15));
    assert.equal((await tell('24')).outcome, 'exists');
    assert.equal((await tell('0')).outcome, 'inserted');
  });

  it('remembers the latest ended holds at least', async () => {
    const session = openStore({ maxEndedHolds: 20 });
    const caller = await createKnownCaller(session, keyWith());
    const holds = [];
    for (let call = 0; call < 30; call += 1) {
      const hold = await caller.hold();
      await caller.settle(hold);
      holds.push(hold);
    }
    for (const { holdId } of holds.slice(-10))
      assert.deepEqual(await caller.admit({ holdId }), { outcome: 'hold_ended' });
  });

  it('forgets a deleted key a day later, when another is deleted', async () => {
    const { store, clock } = openStore();
    for (const id of ['a', 'b']) await store.insertKey(sampleKey(clock.now(), { id }), sampleChange(), anyNumber);
    await store.deleteKey('a', 1, sampleChange());
    assert.equal((await store.balances(['key:a'])).length, 1);
    clock.advance(86_400_001);
    await store.deleteKey('b', 1, sampleChange());
    assert.equal((await store.balances(['key:a'])).length, 0);
  });

  it('asks for a seed when a key that was forgotten is asked for again, by a plan that it knows', async () => {
    const session = openStore();
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    const plan = caller.plan();
    // The first call makes the counters that the second one finds.
    for (let call = 0; call < 2; call += 1) assert.equal((await caller.admit({ plan })).outcome, 'admitted');
    const removed = sampleKey(clock.now(), { id: keyScope.slice('key:'.length) });
    for (const key of [removed, { ...removed, id: 'other' }]) {
      await store.insertKey({ ...key, secretHash: key.id, alias: key.id }, sampleChange(), anyNumber);
      await store.deleteKey(key.id, 1, sampleChange());
      clock.advance(86_400_001);
    }
    const late = { plan: { ...plan, validUntilMs: Infinity } };
    assert.equal((await caller.admit(late)).outcome, 'unseeded');
  });
});
