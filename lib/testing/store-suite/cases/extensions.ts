import assert from 'node:assert/strict';
import type { AdmitVerdict, Hold } from '../../../stores/store.ts';
import { type Caller, createKnownCaller, keyScope, keyWith, namedRefusal } from '../caller.ts';
import { concurrently, holdsOf } from '../concurrent.ts';
import { nothingCounted, standingOf } from '../standing.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { minuteMs, secondMs } from '../test-clock.ts';

const limits = { rpmLimit: 10, tpmLimit: 1000, maxParallelRequests: 1, maxBudgetNanoUsd: 10_000_000_000 };

function createLimitedCaller(session: Session): Promise<Caller> {
  return createKnownCaller(session, keyWith(limits));
}

function admittedHold(verdict: AdmitVerdict): Hold {
  if (verdict.outcome !== 'admitted') assert.fail(`not admitted: ${JSON.stringify(verdict)}`);
  return verdict.hold;
}

export const extensionCases: readonly StoreCase[] = [
  storeCase('ledger', 'a further call counts a request, tokens and money, and takes no slot', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 100, costUsd: 1 });
    const further = admittedHold(await caller.extend(hold, { tokens: 50, costUsd: 0.5, callId: 'second' }));
    assert.deepEqual([further.holdId, further.callId], [hold.holdId, 'second']);
    const both = { openHolds: 1, windows: { rpm: 2, tpm: 150 }, budgets: { main: { spent: 0, held: 1.5 } } };
    assert.deepEqual(await standingOf(store, keyScope), both);
    await caller.settle(further, { inputTokens: 10, costUsd: 0.25 });
    await caller.settle(hold, { inputTokens: 20, costUsd: 0.75 });
    const after = { openHolds: 0, windows: { rpm: 2, tpm: 30 }, budgets: { main: { spent: 1, held: 0 } } };
    assert.deepEqual(await standingOf(store, keyScope), after);
    const { events } = await store.usageEvents(null, 10);
    assert.deepEqual(
      events.map(({ callId, requests, costNanoUsd }) => [callId, requests, costNanoUsd]),
      [
        ['second', 1, 250_000_000],
        ['', 1, 750_000_000],
      ],
    );
  }),

  storeCase('ledger', 'the slot is free when the last call has ended, in any order', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold();
    const further = admittedHold(await caller.extend(hold));
    await caller.settle(hold);
    assert.equal((await caller.refused()).by, `${keyScope}/parallel`);
    await store.cancel(further);
    await store.cancel(further);
    assert.equal((await standingOf(store, keyScope)).openHolds, 0);
    await caller.hold();
  }),

  storeCase('ledger', 'a further call is refused by its own limits and charged in its own period', async (session) => {
    const { store, clock } = session;
    const modelLimits = [{ model: 'o1', rpmLimit: 1, tpmLimit: 10, maxBudget: null }];
    const budget = { maxBudgetNanoUsd: 1_000_000_000, budgetDuration: '1h' };
    const scope = keyWith({ ...budget, modelLimits }, { anchorMs: clock.now() });
    const caller = await createKnownCaller(session, scope);
    clock.advance(59 * minuteMs);
    const hold = await caller.hold({ costUsd: 0.5, leaseMs: 10 * minuteMs });
    const refusalOf = async (wish: Parameters<Caller['extend']>[1]) =>
      namedRefusal(await caller.extend(hold, wish), caller.plan(wish?.model));
    assert.equal((await refusalOf({ costUsd: 0.6 })).by, `${keyScope}/main`);
    assert.equal((await refusalOf({ model: 'o1', tokens: 11 })).by, `${keyScope}/tpm/o1`);
    clock.advance(minuteMs);
    const further = admittedHold(await caller.extend(hold, { model: 'o1', tokens: 5, costUsd: 0.6 }));
    assert.equal((await refusalOf({ model: 'o1' })).by, `${keyScope}/rpm/o1`);
    await caller.settle(hold, { costUsd: 0.5 });
    await caller.settle(further, { costUsd: 0.7 });
    const [balance] = await store.balances([keyScope]);
    assert.deepEqual(
      balance?.budgets.map(({ periodStartMs, spentNanoUsd }) => [clock.now() - periodStartMs, spentNanoUsd]).sort(),
      [
        [0, 700_000_000],
        [60 * minuteMs, 500_000_000],
      ],
    );
  }),

  storeCase('ledger', 'a refused further call leaves the hold as it was', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 100, costUsd: 1 });
    const before = await store.balances([keyScope]);
    for (const replacesFirst of [false, true]) {
      assert.equal((await caller.extend(hold, { tokens: 2000, replacesFirst })).outcome, 'refused');
      assert.equal((await caller.extend(hold, { costUsd: 10.000_000_001, replacesFirst })).outcome, 'refused');
    }
    assert.deepEqual(await store.balances([keyScope]), before);
    assert.equal((await caller.settle(hold)).state, 'settled');
  }),

  storeCase('ledger', 'a call that replaces the first one has its room in the same act', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 900, costUsd: 9 });
    clock.advance(5 * secondMs);
    assert.equal((await caller.extend(hold, { tokens: 950, costUsd: 9.5 })).outcome, 'refused');
    const verdict = await caller.extend(hold, { tokens: 950, costUsd: 9.5, replacesFirst: true });
    const replacing = admittedHold(verdict);
    if (verdict.outcome === 'admitted') assert.deepEqual(verdict.remaining, [9, 50, 0, 500_000_000]);
    const standing = { openHolds: 1, windows: { rpm: 1, tpm: 950 }, budgets: { main: { spent: 0, held: 9.5 } } };
    assert.deepEqual(await standingOf(store, keyScope), standing);
    await caller.settle(replacing, { inputTokens: 10, costUsd: 0.5 });
    const further = admittedHold(await caller.extend(hold, { replacesFirst: true }));
    await caller.settle(further, { inputTokens: 10, costUsd: 0.5 });
    await store.cancel(hold);
    const after = { openHolds: 0, windows: { rpm: 2, tpm: 20 }, budgets: { main: { spent: 1, held: 0 } } };
    assert.deepEqual(await standingOf(store, keyScope), after);
    assert.equal((await store.usageEvents(null, 10)).events.length, 2);
  }),

  storeCase('ledger', 'a call that replaces one of another model is a request of its own model', async (session) => {
    const modelLimits = [{ model: 'o1', rpmLimit: 2, tpmLimit: null, maxBudget: null }];
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 5, modelLimits }));
    const replace = async (model: string | null) =>
      caller.extend(await caller.hold({ model }), { model: 'o1', replacesFirst: true });
    for (const [index, model] of [null, 'o1'].entries()) {
      assert.equal((await replace(model)).outcome, 'admitted');
      const requests = index + 1;
      const windows = { rpm: requests, 'rpm/o1': requests };
      assert.deepEqual(await standingOf(session.store, keyScope), { openHolds: requests, windows, budgets: {} });
    }
    assert.equal(namedRefusal(await replace('gpt-4o'), caller.plan('o1')).by, `${keyScope}/rpm/o1`);
  }),

  storeCase(
    'ledger',
    'a first call that was replaced is charged nothing when it is settled or left',
    async (session) => {
      const { store, clock } = session;
      const caller = await createLimitedCaller(session);
      const settled = await caller.hold({ tokens: 10, costUsd: 1 });
      await store.cancel(admittedHold(await caller.extend(settled, { replacesFirst: true })));
      assert.deepEqual(await caller.settle(settled, { costUsd: 1 }), { state: 'already', event: null, charged: [] });
      assert.deepEqual(await standingOf(store, keyScope), { ...nothingCounted, windows: { rpm: 1 } });
      const left = await caller.hold({ tokens: 10, costUsd: 1, leaseMs: secondMs });
      await store.cancel(admittedHold(await caller.extend(left, { replacesFirst: true })));
      clock.advance(secondMs);
      assert.equal(await store.sweep(10), 1);
      assert.deepEqual(await standingOf(store, keyScope), { ...nothingCounted, windows: { rpm: 2 } });
      assert.deepEqual((await store.usageEvents(null, 10)).events, []);
    },
  ),

  storeCase('ledger', 'a further call that is repeated is charged once', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 100, costUsd: 1 });
    const wish = { tokens: 50, costUsd: 0.5, callId: 'second' };
    const verdicts = await concurrently(5, () => caller.extend(hold, wish));
    assert.equal(new Set(holdsOf(verdicts).map((further) => JSON.stringify(further))).size, 1);
    assert.equal(holdsOf(verdicts).length, 5);
    assert.deepEqual(await caller.extend(hold, { ...wish, tokens: 51 }), { outcome: 'id_conflict' });
    const standing = { openHolds: 1, windows: { rpm: 2, tpm: 150 }, budgets: { main: { spent: 0, held: 1.5 } } };
    assert.deepEqual(await standingOf(store, keyScope), standing);
    const [further] = holdsOf(verdicts);
    if (further !== undefined) await caller.settle(further);
    assert.deepEqual(await caller.extend(hold, wish), { outcome: 'hold_ended' });
  }),

  storeCase('ledger', 'a hold that has ended admits no further call', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    const settled = await caller.hold();
    await caller.settle(settled);
    const cancelled = await caller.hold();
    await store.cancel(cancelled);
    const expired = await caller.hold({ leaseMs: minuteMs });
    clock.advance(minuteMs);
    for (const hold of [settled, cancelled, expired, { ...expired, holdId: 'unknown' }]) {
      assert.deepEqual(await caller.extend(hold), { outcome: 'hold_ended' });
    }
  }),

  storeCase('ledger', 'a cancellation that overtakes its further call is remembered', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold();
    assert.deepEqual(await store.cancel({ ...hold, callId: 'second' }), { state: 'cancelled' });
    assert.deepEqual(await caller.extend(hold, { callId: 'second' }), { outcome: 'hold_ended' });
    await caller.settle(hold);
    assert.equal((await standingOf(store, keyScope)).openHolds, 0);
  }),

  storeCase('ledger', 'a lease ends all open calls of its hold, each told and settled for itself', async (session) => {
    const { store, clock, notices } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 10, costUsd: 1, leaseMs: minuteMs });
    const kept = admittedHold(await caller.extend(hold, { tokens: 20, costUsd: 2, onAbandoned: 'release' }));
    const settled = admittedHold(await caller.extend(hold, { tokens: 30, costUsd: 3 }));
    await caller.settle(settled, { costUsd: 0.5 });
    clock.advance(2 * minuteMs);
    assert.equal(await store.sweep(10), 1);
    assert.equal(notices.filter(({ type }) => type === 'abandoned').length, 2);
    assert.deepEqual(await standingOf(store, keyScope), {
      ...nothingCounted,
      budgets: { main: { spent: 1.5, held: 0 } },
    });
    assert.equal((await caller.settle(kept, { costUsd: 4 })).state, 'late');
    assert.equal((await caller.settle(hold, { costUsd: 0.25 })).state, 'late');
    assert.equal((await caller.settle(settled, { costUsd: 9 })).state, 'already');
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { main: { spent: 4.75, held: 0 } });
    const [row] = await store.usage({ groupBy: [] });
    assert.deepEqual([row?.requests, row?.costNanoUsd], [3, 4_750_000_000]);
  }),

  storeCase('ledger', 'a further call is fenced, too', async (session) => {
    const { clock } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold();
    const newer = caller.under(keyWith(limits, { revision: 2 }));
    assert.equal((await newer.extend(hold)).outcome, 'admitted');
    assert.deepEqual(await caller.extend(hold), { outcome: 'stale', scopeId: keyScope, revision: 2 });
    assert.deepEqual(await newer.extend(hold, { notAfterMs: clock.now() }), { outcome: 'expired' });
    const mintedAtMs = clock.now() - 5 * minuteMs - 1;
    assert.deepEqual(await newer.extend(hold, { mintedAtMs }), { outcome: 'too_old' });
  }),
];
