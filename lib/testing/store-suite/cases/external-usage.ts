import assert from 'node:assert/strict';
import type { UsageEvent } from '../../../usage/usage.ts';
import { createKnownCaller, keyId, keyScope, keyWith, limited } from '../caller.ts';
import { concurrently } from '../concurrent.ts';
import { nothingCounted, standingOf } from '../standing.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { dayMs } from '../test-clock.ts';

function externalEvent(atMs: number, fields: Partial<UsageEvent> = {}): UsageEvent {
  return {
    holdId: 'external:job-1',
    callId: '',
    keyId,
    ownerId: 'ann',
    teamId: 'red',
    model: 'gpt-4o',
    endpoint: null,
    source: 'external',
    requests: 1,
    inputTokens: 10,
    outputTokens: 5,
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    costNanoUsd: 500_000_000,
    atMs,
    trace: null,
    ...fields,
  };
}

const budget = { maxBudgetNanoUsd: 1_000_000_000, budgetDuration: 'daily' };

export const externalUsageCases: readonly StoreCase[] = [
  storeCase('ledger', 'usage measured elsewhere is charged once, to every budget over the key', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith({ ...budget, rpmLimit: 5 }), limited('team:red', budget));
    const event = externalEvent(clock.now());
    const results = await concurrently(5, () => store.record(event, caller.plan()));
    assert.deepEqual(results.map(({ state }) => state).sort(), [
      'already',
      'already',
      'already',
      'already',
      'recorded',
    ]);
    const budgets = { 'main from 2026-01-15': { spent: 0.5, held: 0 } };
    assert.deepEqual(await standingOf(store, keyScope), { ...nothingCounted, budgets });
    assert.deepEqual((await standingOf(store, 'team:red')).budgets, budgets);
    assert.deepEqual((await store.usageEvents(null, 10)).events, [event]);
    assert.equal((await caller.refused({ costUsd: 0.6 })).by, `${keyScope}/main`);
  }),

  storeCase('ledger', 'another call of the same id is another usage', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith(budget));
    await store.record(externalEvent(clock.now()), caller.plan());
    const further = externalEvent(clock.now(), { callId: '2' });
    assert.equal((await store.record(further, caller.plan())).state, 'recorded');
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { 'main from 2026-01-15': { spent: 1, held: 0 } });
  }),

  storeCase('ledger', 'usage of yesterday is charged to yesterday', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith(budget));
    const yesterday = externalEvent(clock.now());
    const plan = caller.plan();
    clock.advance(dayMs / 2);
    await store.record(yesterday, plan);
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { 'main from 2026-01-15': { spent: 0.5, held: 0 } });
    await caller.hold({ costUsd: 1 });
  }),
];
