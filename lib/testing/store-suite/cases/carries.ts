import assert from 'node:assert/strict';
import type { VirtualKeyRecord } from '../../../keys/virtual-key.ts';
import type { Limits } from '../../../limits/limit.ts';
import { budgetPeriod, budgetsOf, createPlan } from '../../../limits/plan.ts';
import type { BudgetCarry } from '../../../stores/store.ts';
import { noTokens } from '../../../usage/usage.ts';
import { type Caller, createCaller, keyId, keyScope, keyWith } from '../caller.ts';
import { anyNumber, nextVersion, sampleAudit, sampleChange, sampleKey } from '../sample-records.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { dayMs, hourMs } from '../test-clock.ts';

const usd = 1_000_000_000;

/** A key whose limits are changed as the service does it: each change carries the main budget. */
interface ChangingKey {
  caller(): Caller;
  change(limits: Partial<Limits>): Promise<void>;
  /** What counts in the current period of the main budget. */
  main(): Promise<{ readonly spent: number; readonly held: number }>;
}

async function createChangingKey(session: Session, limits: Partial<Limits>): Promise<ChangingKey> {
  const { store, clock } = session;
  const inserted = await store.insertKey(sampleKey(clock.now(), { id: keyId, ...limits }), sampleChange(), anyNumber);
  if (inserted.outcome !== 'inserted') assert.fail(inserted.outcome);
  let record = inserted.record;

  const periodOf = (key: VirtualKeyRecord) => {
    const [main] = budgetsOf(key);
    if (main === undefined) assert.fail('a key has a main budget');
    return budgetPeriod(main, key.createdAtMs, clock.now());
  };

  return {
    caller: () => createCaller(session, keyWith(record, { revision: record.revision, anchorMs: record.createdAtMs })),
    async change(fields) {
      const next = nextVersion(record, fields);
      const [before, after] = [periodOf(record), periodOf(next)];
      const [row] = await store.usage({ keyId, fromMs: after.startMs, groupBy: [] });
      const carry: BudgetCarry = {
        budgetId: 'main',
        from: { budgetId: 'main', periodStartMs: before.startMs },
        periodStartMs: after.startMs,
        periodEndMs: after.endMs,
        openingNanoUsd: row?.costNanoUsd ?? 0,
      };
      const isSame = before.startMs === after.startMs && before.endMs === after.endMs;
      const updated = await store.updateKey(next, sampleChange({ carries: isSame ? [] : [carry] }), anyNumber);
      if (updated.outcome !== 'updated') assert.fail(updated.outcome);
      record = updated.record;
    },
    async main() {
      const [balance] = await store.balances([keyScope]);
      const { startMs } = periodOf(record);
      const main = balance?.budgets.filter(({ budgetId }) => budgetId === 'main') ?? [];
      for (const { spentNanoUsd, heldNanoUsd } of main) assert.ok(spentNanoUsd >= 0 && heldNanoUsd >= 0, 'negative');
      const current = main.find(({ periodStartMs }) => periodStartMs === startMs);
      return { spent: (current?.spentNanoUsd ?? 0) / usd, held: (current?.heldNanoUsd ?? 0) / usd };
    },
  };
}

async function spend(caller: Caller, costUsd: number): Promise<void> {
  await caller.settle(await caller.hold({ costUsd }), { costUsd });
}

export const carryCases: readonly StoreCase[] = [
  storeCase('store', 'spend of the current period stays through changes of amount and duration', async (session) => {
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: '30d' });
    await spend(key.caller(), 3);
    session.clock.advance(dayMs);
    for (const budgetDuration of ['29d', '31d', 'daily', 'monthly', '1mo', null, '30d']) {
      await key.change({ budgetDuration });
      assert.deepEqual(await key.main(), { spent: 3, held: 0 }, `${budgetDuration}`);
      assert.equal((await key.caller().admit({ costUsd: 2.1 })).outcome, 'refused', `${budgetDuration}`);
    }
    await key.change({ maxBudgetNanoUsd: null });
    await spend(key.caller(), 1);
    await key.change({ maxBudgetNanoUsd: 5 * usd });
    assert.deepEqual(await key.main(), { spent: 4, held: 0 });
  }),

  storeCase('store', 'holds in flight settle where their budget went, back and forth', async (session) => {
    const { store } = session;
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: 'daily' });
    const first = await key.caller().hold({ costUsd: 1 });
    await key.change({ budgetDuration: 'monthly' });
    const second = await key.caller().hold({ costUsd: 2 });
    assert.deepEqual(await key.main(), { spent: 0, held: 3 });
    await key.change({ budgetDuration: 'daily' });
    assert.deepEqual(await key.main(), { spent: 0, held: 3 });
    const third = await key.caller().hold({ costUsd: 0.5 });
    assert.equal((await key.caller().admit({ costUsd: 1.6 })).outcome, 'refused');
    await key.change({ budgetDuration: 'monthly' });
    await key.caller().settle(second, { costUsd: 1.5 });
    assert.deepEqual(await key.main(), { spent: 1.5, held: 1.5 });
    await key.change({ budgetDuration: null });
    await key.caller().settle(first, { costUsd: 0.25 });
    await store.cancel(third);
    assert.deepEqual(await key.main(), { spent: 1.75, held: 0 });
  }),

  storeCase('store', 'holds of a period that is over settle in one that begins inside it', async (session) => {
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: 'daily' });
    const hold = await key.caller().hold({ costUsd: 1, leaseMs: 2 * dayMs });
    session.clock.advance(dayMs);
    await key.change({ budgetDuration: '30d' });
    assert.deepEqual(await key.main(), { spent: 0, held: 1 });
    await key.caller().settle(hold, { costUsd: 1.5 });
    assert.deepEqual(await key.main(), { spent: 1.5, held: 0 });
  }),

  storeCase('store', 'holds of a period that is over settle in the longer one that it lies in', async (session) => {
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: 'hourly' });
    const leaseMs = dayMs;
    const settled = await key.caller().hold({ costUsd: 1, leaseMs });
    const cancelled = await key.caller().hold({ costUsd: 2, leaseMs });
    await spend(key.caller(), 0.5);
    session.clock.advance(5 * hourMs);
    await spend(key.caller(), 0.25);
    assert.deepEqual(await key.main(), { spent: 0.25, held: 0 });
    await key.change({ budgetDuration: 'daily' });
    assert.deepEqual(await key.main(), { spent: 0.75, held: 3 });
    await key.caller().settle(settled, { costUsd: 1.5 });
    await session.store.cancel(cancelled);
    assert.deepEqual(await key.main(), { spent: 2.25, held: 0 });
  }),

  storeCase('store', 'usage of an earlier day does not end the period that its own was carried to', async (session) => {
    const { store, clock } = session;
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: 'weekly' });
    await spend(key.caller(), 1);
    await key.change({ budgetDuration: 'daily' });
    await spend(key.caller(), 3);
    const monday = clock.now() - 3 * dayMs;
    const { subject } = await key.caller().hold();
    const event = { ...subject, ...noTokens, holdId: 'external:job-1', callId: '', requests: 1, costNanoUsd: usd / 2 };
    const plan = createPlan(key.caller().scopes, 'gpt-4o', monday);
    await store.record({ ...event, source: 'external', atMs: monday, trace: null }, plan);
    await key.change({ rpmLimit: 100 });
    assert.deepEqual(await key.main(), { spent: 4.5, held: 0 });
  }),

  storeCase('store', 'a settlement after the duration was changed tells how the new period stands', async (session) => {
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: null });
    const hold = await key.caller().hold({ costUsd: 2 });
    await spend(key.caller(), 1);
    await key.change({ budgetDuration: 'monthly' });
    const { charged } = await key.caller().settle(hold, { costUsd: 2 });
    const periodStartMs = Date.UTC(2026, 0, 1);
    assert.deepEqual(charged, [{ scopeId: keyScope, budgetId: 'main', periodStartMs, spentNanoUsd: 3 * usd }]);
  }),

  storeCase('store', 'a hold that outlives two changes leaves nothing negative and nothing stuck', async (session) => {
    const { clock } = session;
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: '10h' });
    const leaseMs = dayMs;
    clock.advance(1.5 * hourMs);
    const first = await key.caller().hold({ costUsd: 1, leaseMs });
    await key.change({ budgetDuration: '1h' });
    const second = await key.caller().hold({ costUsd: 1, leaseMs });
    clock.advance(3 * hourMs);
    await key.change({ budgetDuration: '10h' });
    assert.deepEqual(await key.main(), { spent: 0, held: 2 });
    await key.caller().settle(first, { costUsd: 0.5 });
    await key.caller().settle(second, { costUsd: 0.25 });
    assert.deepEqual(await key.main(), { spent: 0.75, held: 0 });
    await spend(key.caller(), 4.25);
    assert.equal((await key.caller().admit({ costUsd: 0.01 })).outcome, 'refused');
  }),

  storeCase('store', 'a longer period in which spend was reset does not bring it back', async (session) => {
    const { store, clock } = session;
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: 'monthly' });
    await spend(key.caller(), 3);
    await key.change({ budgetDuration: 'daily' });
    await store.adjust({
      id: 'reset',
      scopeId: keyScope,
      budgets: [{ budgetId: 'main', periodStartMs: Math.floor(clock.now() / dayMs) * dayMs }],
      subject: { keyId, ownerId: null, teamId: null, model: null, endpoint: null },
      audit: sampleAudit(),
    });
    await spend(key.caller(), 0.5);
    await key.change({ budgetDuration: 'monthly' });
    assert.deepEqual(await key.main(), { spent: 0.5, held: 0 });
  }),

  storeCase('store', 'a period that was made longer keeps its spend past its former end', async (session) => {
    const { clock } = session;
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: '1d' });
    await spend(key.caller(), 3);
    await key.change({ budgetDuration: '60d' });
    clock.advance(30 * dayMs);
    await key.change({ rpmLimit: 100 });
    assert.deepEqual(await key.main(), { spent: 3, held: 0 });
  }),

  storeCase('store', 'a change to a longer period opens with what the usage record says', async (session) => {
    const key = await createChangingKey(session, { maxBudgetNanoUsd: 5 * usd, budgetDuration: 'daily' });
    await spend(key.caller(), 2);
    session.clock.advance(dayMs);
    await spend(key.caller(), 1);
    await key.change({ budgetDuration: 'monthly' });
    assert.deepEqual(await key.main(), { spent: 3, held: 0 });
  }),
];
