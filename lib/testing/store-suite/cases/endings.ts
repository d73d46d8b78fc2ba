import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Hold } from '../../../stores/store.ts';
import { type Caller, createKnownCaller, keyScope, keyWith, limited } from '../caller.ts';
import { concurrently, holdsOf } from '../concurrent.ts';
import { nothingCounted, standingOf } from '../standing.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { minuteMs } from '../test-clock.ts';

const limits = { rpmLimit: 100, tpmLimit: 1000, maxParallelRequests: 10, maxBudgetNanoUsd: 10_000_000_000 };

function createLimitedCaller(session: Session): Promise<Caller> {
  return createKnownCaller(session, keyWith(limits), limited('team:red', { maxBudgetNanoUsd: 10_000_000_000 }));
}

/** A hold that the ledger has never heard of, such as one lost in a failover. */
async function lostHold({ store }: Session, caller: Caller): Promise<Hold> {
  const hold = await caller.hold();
  await store.cancel(hold);
  return { ...hold, holdId: randomUUID() };
}

export const endingCases: readonly StoreCase[] = [
  storeCase('ledger', 'a settlement replaces the estimate by what was consumed', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 100, costUsd: 1, trace: 'req_1' });
    const atMs = clock.now();
    assert.deepEqual(await standingOf(store, keyScope), {
      openHolds: 1,
      windows: { rpm: 1, tpm: 100 },
      budgets: { main: { spent: 0, held: 1 } },
    });
    clock.advance(2000);
    const usage = { inputTokens: 20, outputTokens: 5, cacheReadTokens: 10, cacheWriteTokens: 2 };
    const { state, event } = await caller.settle(hold, { ...usage, costUsd: 0.25, model: 'gpt-4o-2024-08-06' });
    assert.equal(state, 'settled');
    assert.deepEqual(event, {
      ...hold.subject,
      ...usage,
      model: 'gpt-4o-2024-08-06',
      holdId: hold.holdId,
      callId: '',
      source: 'reported',
      requests: 1,
      costNanoUsd: 250_000_000,
      atMs,
      trace: 'req_1',
    });
    const after = { openHolds: 0, windows: { rpm: 1, tpm: 25 }, budgets: { main: { spent: 0.25, held: 0 } } };
    assert.deepEqual(await standingOf(store, keyScope), after);
    assert.deepEqual((await standingOf(store, 'team:red')).budgets, after.budgets);
  }),

  storeCase('ledger', 'a hold that went through JSON settles as well', async (session) => {
    const caller = await createLimitedCaller(session);
    const hold: Hold = JSON.parse(JSON.stringify(await caller.hold({ tokens: 100, costUsd: 1 })));
    assert.equal((await caller.settle(hold, { costUsd: 0.5 })).state, 'settled');
    assert.deepEqual((await standingOf(session.store, keyScope)).budgets, { main: { spent: 0.5, held: 0 } });
  }),

  storeCase('ledger', 'a hold is settled once, however often it is tried', async (session) => {
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ tokens: 100, costUsd: 1 });
    const results = await concurrently(10, () => caller.settle(hold, { inputTokens: 30, costUsd: 0.5 }));
    assert.equal(results.filter(({ state }) => state === 'settled').length, 1);
    for (const { state, event } of results)
      if (state !== 'settled') assert.deepEqual([state, event], ['already', null]);
    assert.deepEqual(await session.store.cancel(hold), { state: 'already' });
    const after = { openHolds: 0, windows: { rpm: 1, tpm: 30 }, budgets: { main: { spent: 0.5, held: 0 } } };
    assert.deepEqual(await standingOf(session.store, keyScope), after);
    assert.equal((await session.store.usageEvents(null, 10)).events.length, 1);
  }),

  storeCase('ledger', 'a cancelled call gives back tokens, money and slot, once', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const other = await caller.hold({ tokens: 50, costUsd: 0.5 });
    const hold = await caller.hold({ tokens: 100, costUsd: 1 });
    const results = await concurrently(5, async () => store.cancel(hold));
    assert.deepEqual(results.map(({ state }) => state).sort(), [
      'already',
      'already',
      'already',
      'already',
      'cancelled',
    ]);
    assert.deepEqual(await caller.settle(hold, { costUsd: 1 }), { state: 'already', event: null, charged: [] });
    const left = { openHolds: 1, windows: { rpm: 2, tpm: 50 }, budgets: { main: { spent: 0, held: 0.5 } } };
    assert.deepEqual(await standingOf(store, keyScope), left);
    await store.cancel(other);
    assert.deepEqual(await standingOf(store, keyScope), { ...nothingCounted, windows: { rpm: 2 } });
    assert.deepEqual((await store.usageEvents(null, 10)).events, []);
  }),

  storeCase('ledger', 'of settlements and cancellations that race exactly one ends the call', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    let settled = 0;
    for (let race = 0; race < 10; race += 1) {
      const hold = await caller.hold({ tokens: 10, costUsd: 0.5 });
      const end = async (index: number): Promise<{ readonly state: string }> =>
        (index + race) % 2 === 0 ? caller.settle(hold, { costUsd: 0.25 }) : store.cancel(hold);
      const results = await concurrently(6, end);
      const ended = results.filter(({ state }) => state !== 'already');
      assert.equal(ended.length, 1);
      if (ended[0]?.state === 'settled') settled += 1;
      const budgets = settled === 0 ? {} : { main: { spent: 0.25 * settled, held: 0 } };
      assert.deepEqual(await standingOf(store, keyScope), { openHolds: 0, windows: { rpm: race + 1 }, budgets });
    }
  }),

  storeCase('ledger', 'a slot is free when the call ends, settled or cancelled', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ maxParallelRequests: 2 }));
    const [first, second] = [await caller.hold(), await caller.hold()];
    assert.equal((await caller.refused()).by, `${keyScope}/parallel`);
    await caller.settle(first);
    const third = await caller.hold();
    assert.equal((await caller.admit()).outcome, 'refused');
    await session.store.cancel(second);
    await session.store.cancel(third);
    assert.equal(holdsOf(await concurrently(5, () => caller.admit())).length, 2);
  }),

  storeCase('ledger', 'an admission that is repeated gets the same hold, charged once', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const request = caller.admitRequest({ tokens: 100, costUsd: 1 });
    const verdicts = await concurrently(20, async () => store.admit(request));
    const [first] = holdsOf(verdicts);
    assert.deepEqual(
      holdsOf(verdicts),
      Array.from({ length: 20 }, () => first),
    );
    clock.advance(minuteMs);
    assert.deepEqual(holdsOf([await store.admit(request)]), [first]);
    const once = { openHolds: 1, windows: { rpm: 1, tpm: 100 }, budgets: { main: { spent: 0, held: 1 } } };
    assert.deepEqual(await standingOf(store, keyScope), once);
  }),

  storeCase('ledger', 'the trace of a client is no id: each of its calls counts', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 200 }));
    for (let call = 0; call < 100; call += 1) {
      await caller.settle(await caller.hold({ costUsd: 0.01, trace: 'same' }), { costUsd: 0.01 });
    }
    const standing = { openHolds: 0, windows: { rpm: 100 }, budgets: { main: { spent: 1, held: 0 } } };
    assert.deepEqual(await standingOf(session.store, keyScope), standing);
  }),

  storeCase('ledger', 'the id of an open hold with other amounts is a conflict', async (session) => {
    const caller = await createLimitedCaller(session);
    const request = caller.admitRequest({ tokens: 100, costUsd: 1 });
    await session.store.admit(request);
    for (const amounts of [
      { tokens: 101, costNanoUsd: 1_000_000_000 },
      { tokens: 100, costNanoUsd: 1 },
    ]) {
      assert.deepEqual(await session.store.admit({ ...request, amounts }), { outcome: 'id_conflict' });
    }
    assert.equal((await standingOf(session.store, keyScope)).openHolds, 1);
  }),

  storeCase('ledger', 'the id of a hold that has ended admits nothing for an hour', async (session) => {
    const { store, clock } = session;
    const caller = await createLimitedCaller(session);
    const settled = await caller.hold();
    await caller.settle(settled, { costUsd: 0.1 });
    const cancelled = await caller.hold();
    await store.cancel(cancelled);
    for (let waitedMinutes = 0; waitedMinutes < 60; waitedMinutes += 10) {
      for (const { holdId } of [settled, cancelled]) {
        assert.deepEqual(await caller.admit({ holdId }), { outcome: 'hold_ended' });
      }
      assert.equal((await caller.settle(settled, { costUsd: 0.1 })).state, 'already');
      assert.equal((await caller.settle(cancelled, { costUsd: 0.1 })).state, 'already');
      await caller.settle(await caller.hold(), {});
      clock.advance(10 * minuteMs - 1);
    }
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { main: { spent: 0.1, held: 0 } });
  }),

  storeCase('ledger', 'a cancellation that overtakes its admission is remembered', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const request = caller.admitRequest({ tokens: 100, costUsd: 1 });
    const { holdId, subject, plan, amounts, leaseMs, trace } = request;
    const takes = plan.takes;
    const hold = { holdId, callId: '', home: '', subject, takes, amounts, atMs: session.clock.now(), leaseMs, trace };
    assert.deepEqual(await store.cancel(hold), { state: 'cancelled' });
    assert.deepEqual(await store.admit(request), { outcome: 'hold_ended' });
    assert.deepEqual(await standingOf(store, keyScope), nothingCounted);
    assert.equal((await caller.settle(hold, { costUsd: 1 })).state, 'already');
  }),

  storeCase('ledger', 'an admission minted more than five minutes ago is refused', async (session) => {
    const { clock } = session;
    const caller = await createLimitedCaller(session);
    const mintedAtMs = clock.now() - 5 * minuteMs;
    assert.deepEqual(await caller.admit({ mintedAtMs: mintedAtMs - 1 }), { outcome: 'too_old' });
    assert.equal((await caller.admit({ mintedAtMs })).outcome, 'admitted');
  }),

  storeCase('ledger', 'an unknown hold is charged in full, once for each of its calls', async (session) => {
    const { store } = session;
    const caller = await createLimitedCaller(session);
    const hold = await lostHold(session, caller);
    const before = await standingOf(store, keyScope);
    const consumed = { inputTokens: 7, outputTokens: 3, costUsd: 0.5 };
    const results = await concurrently(5, () => caller.settle(hold, consumed));
    const charged = results.filter(({ state }) => state === 'lost_hold');
    assert.equal(charged.length, 1);
    assert.equal(charged[0]?.event?.source, 'lost_hold');
    assert.equal((await caller.settle({ ...hold, callId: 'further' }, consumed)).state, 'lost_hold');
    assert.equal((await caller.settle({ ...hold, callId: 'further' }, consumed)).state, 'already');
    const windows = { rpm: before.windows.rpm ?? 0, tpm: 20 };
    const after = { openHolds: 0, windows, budgets: { main: { spent: 1, held: 0 } } };
    assert.deepEqual(await standingOf(store, keyScope), after);
    assert.deepEqual(await caller.admit({ holdId: hold.holdId }), { outcome: 'hold_ended' });
    assert.equal((await store.usageEvents(null, 10)).events.length, 2);
  }),

  storeCase('ledger', 'an unknown call of an open hold is charged once, and leaves the hold open', async (session) => {
    const caller = await createLimitedCaller(session);
    const hold = await caller.hold({ costUsd: 1 });
    const unknown = { ...hold, callId: 'lost' };
    assert.equal((await caller.settle(unknown, { costUsd: 0.5 })).state, 'lost_hold');
    assert.equal((await caller.settle(unknown, { costUsd: 0.5 })).state, 'already');
    const standing = await standingOf(session.store, keyScope);
    assert.deepEqual(standing.budgets, { main: { spent: 0.5, held: 1 } });
    assert.equal(standing.openHolds, 1);
    assert.equal((await caller.settle(hold, { costUsd: 1 })).state, 'settled');
    assert.equal((await standingOf(session.store, keyScope)).openHolds, 0);
  }),
];
