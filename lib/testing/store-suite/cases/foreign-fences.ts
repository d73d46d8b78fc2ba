import assert from 'node:assert/strict';
import type { Fence } from '../../../stores/combinable.ts';
import { createCaller, createKnownCaller, keyScope, keyWith } from '../caller.ts';
import { type CombinableCase, ledgerCase } from '../combinable-case.ts';
import { standingOf } from '../standing.ts';
import { dayMs, hourMs } from '../test-clock.ts';

function fenceOf(fields: Partial<Fence> = {}): Fence {
  return { id: 'any', scopeId: keyScope, revision: 1, isNew: false, isClosed: false, carries: [], ...fields };
}

const daily = { maxBudgetNanoUsd: 1_000_000_000, budgetDuration: 'daily' };
const lasting = { maxBudgetNanoUsd: 1_000_000_000, budgetDuration: null };
const hourly = { maxBudgetNanoUsd: 1_000_000_000, budgetDuration: 'hourly' };

/** From the day's budget to one of the hour. */
function carryAt(nowMs: number): Fence['carries'] {
  const periodStartMs = Math.floor(nowMs / hourMs) * hourMs;
  const from = { budgetId: 'main', periodStartMs: Math.floor(nowMs / dayMs) * dayMs };
  return [{ budgetId: 'main', from, periodStartMs, periodEndMs: periodStartMs + hourMs, openingNanoUsd: 0 }];
}

/** From the hour's budget to one of the key's whole life. */
function carryOn(nowMs: number): Fence['carries'] {
  const from = { budgetId: 'main', periodStartMs: Math.floor(nowMs / hourMs) * hourMs };
  return [{ budgetId: 'main', from, periodStartMs: 0, periodEndMs: null, openingNanoUsd: 0 }];
}

const ofHour = 'main from 2026-01-15';
const ofLife = 'main';

export const foreignFenceCases: readonly CombinableCase[] = [
  ledgerCase('a new record makes its scope known', async (session) => {
    const { store } = session;
    assert.deepEqual(await store.fence(fenceOf({ isNew: true, revision: 5 })), { state: 'fenced' });
    await createCaller(session, keyWith({}, { revision: 5 })).hold();
  }),

  ledgerCase('a changed record of an unknown scope leaves it to be seeded', async (session) => {
    const { store } = session;
    assert.deepEqual(await store.fence(fenceOf({ revision: 5 })), { state: 'unknown' });
    const caller = await createKnownCaller(session, keyWith({}, { revision: 5 }));
    await caller.hold();
  }),

  ledgerCase('a nonce given before the change seeds nothing after it', async (session) => {
    const { store } = session;
    const verdict = await createCaller(session, keyWith()).admit();
    const nonce = verdict.outcome === 'unseeded' ? (verdict.scopes[0]?.nonce ?? '') : '';
    assert.deepEqual(await store.fence(fenceOf({ revision: 2 })), { state: 'unknown' });
    assert.deepEqual(await store.seed(keyScope, nonce, 1, []), { state: 'superseded' });
    const changed = await createKnownCaller(session, keyWith({}, { revision: 2 }));
    await changed.hold();
  }),

  ledgerCase('calls judged before the change are stale', async (session) => {
    const { store } = session;
    const caller = await createKnownCaller(session, keyWith());
    const open = await caller.hold({ costUsd: 1 });
    assert.deepEqual(await store.fence(fenceOf({ revision: 4 })), { state: 'fenced' });
    const stale = { outcome: 'stale', scopeId: keyScope, revision: 4 };
    assert.deepEqual(await caller.admit(), stale);
    assert.deepEqual(await caller.extend(open), stale);
    assert.equal((await caller.settle(open, { costUsd: 1 })).state, 'settled');
    await caller.under(keyWith({}, { revision: 4 })).hold();
  }),

  ledgerCase('an older fence that comes late changes nothing', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith(daily));
    await caller.settle(await caller.hold(), { costUsd: 0.4 });
    await store.fence(fenceOf({ revision: 4 }));
    assert.deepEqual(await store.fence(fenceOf({ revision: 3, carries: carryAt(clock.now()) })), { state: 'already' });
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { 'main from 2026-01-15': { spent: 0.4, held: 0 } });
    const [balance] = await store.balances([keyScope]);
    assert.equal(balance?.revision, 4);
  }),

  ledgerCase('budgets carry over with the fence, once', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith(daily));
    await caller.settle(await caller.hold(), { costUsd: 0.4 });
    await caller.hold({ costUsd: 0.1 });
    const fence = fenceOf({ revision: 2, carries: carryAt(clock.now()) });
    await store.fence(fence);
    await store.fence(fence);
    const changed = caller.under(keyWith(hourly, { revision: 2 }));
    assert.equal((await changed.admit({ costUsd: 0.6 })).outcome, 'refused');
    await changed.hold({ costUsd: 0.5 });
    assert.deepEqual((await standingOf(store, keyScope)).budgets, {
      'main from 2026-01-15': { spent: 0.4, held: 0.6 },
    });
  }),

  ledgerCase('budgets carry over where a call has brought the revision before the fence', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith(daily));
    await caller.settle(await caller.hold(), { costUsd: 0.9 });
    const changed = caller.under(keyWith(hourly, { revision: 2 }));
    await changed.hold();
    await store.fence(fenceOf({ revision: 2, carries: carryAt(clock.now()) }));
    assert.equal((await changed.admit({ costUsd: 0.2 })).outcome, 'refused');
  }),

  ledgerCase('what a call spent that came before the fence is added to what is carried over', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith(daily));
    await caller.settle(await caller.hold(), { costUsd: 0.4 });
    const changed = caller.under(keyWith(hourly, { revision: 2 }));
    await changed.settle(await changed.hold(), { costUsd: 0.3 });
    await store.fence(fenceOf({ revision: 2, carries: carryAt(clock.now()) }));
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { [ofHour]: { spent: 0.7, held: 0 } });
  }),

  ledgerCase(
    'budgets carry over by two changes, also where a call judged by the second came first',
    async (session) => {
      const { store, clock } = session;
      const caller = await createKnownCaller(session, keyWith(daily));
      await caller.settle(await caller.hold(), { costUsd: 0.4 });
      const open = await caller.hold({ costUsd: 0.2 });
      const first = fenceOf({ revision: 2, carries: carryAt(clock.now()) });
      const second = fenceOf({ revision: 3, carries: carryOn(clock.now()) });
      const changed = caller.under(keyWith(lasting, { revision: 3 }));
      await changed.settle(await changed.hold(), { costUsd: 0.1 });
      assert.deepEqual(await store.fence(first), { state: 'fenced' });
      assert.equal((await caller.under(keyWith(hourly, { revision: 2 })).admit()).outcome, 'stale');
      assert.deepEqual(await store.fence(second), { state: 'fenced' });
      const carried = { [ofLife]: { spent: 0.5, held: 0.2 } };
      assert.deepEqual((await standingOf(store, keyScope)).budgets, carried);
      for (const late of [first, second]) assert.deepEqual(await store.fence(late), { state: 'already' });
      assert.deepEqual((await standingOf(store, keyScope)).budgets, carried);
      await caller.settle(open, { costUsd: 0.3 });
      assert.deepEqual((await standingOf(store, keyScope)).budgets, { [ofLife]: { spent: 0.8, held: 0 } });
      assert.equal((await changed.admit({ costUsd: 0.3 })).outcome, 'refused');
    },
  ),

  ledgerCase('a removed record admits nothing any more, known or not', async (session) => {
    const { store } = session;
    const future = createCaller(session, keyWith({}, { revision: Number.MAX_SAFE_INTEGER }));
    assert.deepEqual(await store.fence(fenceOf({ revision: 2, isClosed: true })), { state: 'fenced' });
    assert.equal((await future.admit()).outcome, 'stale');
    const caller = createCaller(session, keyWith());
    assert.equal((await caller.admit()).outcome, 'stale');
  }),

  ledgerCase('usage is forgotten up to a cursor, and read on after it', async (session) => {
    const { store } = session;
    const caller = await createKnownCaller(session, keyWith());
    for (const trace of ['a', 'b', 'c']) await caller.settle(await caller.hold({ trace }));
    const first = await store.usageEvents(null, 2);
    assert.equal(await store.countUsage(10), 3);
    await store.trimUsage(first.cursor);
    assert.equal(await store.countUsage(10), 1);
    const tracesAfter = async (cursor: string | null) =>
      (await store.usageEvents(cursor, 10)).events.map(({ trace }) => trace);
    assert.deepEqual(await tracesAfter(null), ['c']);
    assert.deepEqual(await tracesAfter(first.cursor), ['c']);
    await store.trimUsage(first.cursor);
    await caller.settle(await caller.hold({ trace: 'd' }));
    assert.deepEqual(await tracesAfter(first.cursor), ['c', 'd']);
  }),
];
