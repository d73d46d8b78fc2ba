import assert from 'node:assert/strict';
import type { Store, UsageEventPage } from '../../../stores/store.ts';
import type { UsageEvent } from '../../../usage/usage.ts';
import { type Caller, createKnownCaller, keyId, keyScope, keyWith, limited } from '../caller.ts';
import { seededRandom } from '../random.ts';
import { sampleAudit } from '../sample-records.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { dayMs, hourMs, minuteMs } from '../test-clock.ts';

async function readAll(store: Store, limit: number): Promise<readonly UsageEvent[]> {
  const events: UsageEvent[] = [];
  let page: UsageEventPage = { events: [], cursor: '' };
  let cursor: string | null = null;
  do {
    page = await store.usageEvents(cursor, limit);
    events.push(...page.events);
    cursor = page.cursor;
  } while (page.events.length > 0);
  return events;
}

/** The last line of each call: a corrected one comes again. */
function latestOf(events: readonly UsageEvent[]): readonly UsageEvent[] {
  return [...new Map(events.map((event) => [`${event.holdId}/${event.callId}`, event])).values()];
}

function costOf(events: readonly UsageEvent[]): number {
  return events.reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0);
}

async function spend(caller: Caller, costUsd: number, subject: Parameters<Caller['hold']>[0] = {}): Promise<void> {
  await caller.settle(await caller.hold(subject), { inputTokens: 10, outputTokens: 5, costUsd });
}

export const usageCases: readonly StoreCase[] = [
  storeCase('ledger', 'sums, events and budgets agree to the nano-dollar', async (session) => {
    const { store, clock } = session;
    const scopes = [keyWith(), limited('global', { maxBudgetNanoUsd: 9_000_000_000_000_000 })];
    const caller = await createKnownCaller(session, ...scopes);
    const random = seededRandom(5);
    for (let call = 0; call < 60; call += 1) {
      const hold = await caller.hold({ tokens: 10, costUsd: random(), leaseMs: 10 * minuteMs });
      clock.advance(Math.floor(random() * 2 * minuteMs));
      const fate = random();
      if (fate < 0.6) await caller.settle(hold, { outputTokens: 3, costUsd: random() });
      else if (fate < 0.7) await store.cancel(hold);
      else if (fate < 0.8) await caller.settle({ ...hold, callId: 'unknown' }, { costUsd: random() });
      await store.sweep(2);
      if (call % 20 === 10) {
        await store.adjust({
          id: `adjustment-${call}`,
          scopeId: keyScope,
          budgets: [{ budgetId: 'main', periodStartMs: 0 }],
          subject: { keyId, ownerId: 'ann', teamId: 'red', model: null, endpoint: null },
          audit: sampleAudit(),
        });
      }
    }
    clock.advance(hourMs);
    await store.sweep(100);
    const events = latestOf(await readAll(store, 7));
    const [row] = await store.usage({ keyId, groupBy: [] });
    const [key, global] = await store.balances([keyScope, 'global']);
    assert.ok(
      events.some(({ source }) => source === 'abandoned') && events.some(({ source }) => source === 'adjustment'),
    );
    assert.deepEqual(
      [row?.costNanoUsd, key?.budgets.map(({ spentNanoUsd, heldNanoUsd }) => [spentNanoUsd, heldNanoUsd])],
      [costOf(events), [[costOf(events), 0]]],
    );
    const charged = events.filter(({ source }) => source !== 'adjustment');
    assert.equal(global?.budgets[0]?.spentNanoUsd, costOf(charged));
    assert.equal(row?.requests, charged.length);
    assert.equal(key?.openHolds, 0);
  }),

  storeCase('ledger', 'usage is summed by key, owner, team, model, endpoint and day', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    await spend(caller, 0.1, { model: 'gpt-4o' });
    await spend(caller, 0.2, { model: 'o1', subject: { ownerId: 'bob', endpoint: '/v1/responses' } });
    clock.advance(dayMs);
    await spend(caller, 0.4, { model: 'gpt-4o', subject: { teamId: null } });
    const sum = (requests: number, costNanoUsd: number) => ({
      requests,
      inputTokens: 10 * requests,
      outputTokens: 5 * requests,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      costNanoUsd,
    });
    const first = sum(1, 100_000_000);
    assert.deepEqual(await store.usage({ groupBy: [] }), [{ group: {}, ...sum(3, 700_000_000) }]);
    assert.deepEqual(await store.usage({ groupBy: ['model'] }), [
      { group: { model: 'gpt-4o' }, ...sum(2, 500_000_000) },
      { group: { model: 'o1' }, ...sum(1, 200_000_000) },
    ]);
    assert.deepEqual(await store.usage({ groupBy: ['day', 'model'], ownerIds: ['ann'] }), [
      { group: { day: '2026-01-15', model: 'gpt-4o' }, ...first },
      { group: { day: '2026-01-16', model: 'gpt-4o' }, ...sum(1, 400_000_000) },
    ]);
    assert.deepEqual(await store.usage({ groupBy: ['key', 'owner', 'team', 'endpoint'], teamIds: ['red'] }), [
      { group: { key: keyId, owner: 'ann', team: 'red', endpoint: '/v1/chat/completions' }, ...first },
      { group: { key: keyId, owner: 'bob', team: 'red', endpoint: '/v1/responses' }, ...sum(1, 200_000_000) },
    ]);
    assert.deepEqual(await store.usage({ groupBy: ['team'], model: 'gpt-4o', untilMs: clock.now() }), [
      { group: { team: 'red' }, ...first },
    ]);
    assert.deepEqual(await store.usage({ groupBy: ['team'], keyId, fromMs: clock.now() }), [
      { group: { team: null }, ...sum(1, 400_000_000) },
    ]);
    for (const none of [{ keyId: 'other' }, { ownerIds: [] }, { teamIds: ['blue'] }, { model: '__proto__' }]) {
      assert.deepEqual(await store.usage({ ...none, groupBy: ['key'] }), []);
    }
  }),

  storeCase('ledger', 'names of any kind are summed as themselves', async (session) => {
    const caller = await createKnownCaller(session, keyWith());
    const names = ['__proto__', 'constructor', "o'clock", 'a/b:c|d', 'größe'];
    for (const model of names) await spend(caller, 0.1, { model, subject: { ownerId: model } });
    const rows = await session.store.usage({ groupBy: ['model', 'owner'] });
    const groups = rows.map(({ group }) => [Object.entries(group), group.model === group.owner]);
    const expected = names.map((name) => [
      [
        ['model', name],
        ['owner', name],
      ],
      true,
    ]);
    const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
    assert.deepEqual(groups.sort(byText), expected.sort(byText));
  }),

  storeCase('ledger', 'usage belongs to the time of its admission', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    clock.advance(11 * hourMs + 59 * minuteMs);
    const hold = await caller.hold();
    clock.advance(minuteMs);
    await caller.settle(hold, { costUsd: 0.1 });
    const rows = await store.usage({ groupBy: ['day'] });
    assert.deepEqual(
      rows.map(({ group }) => group),
      [{ day: '2026-01-15' }],
    );
  }),

  storeCase('ledger', 'usage events are read on from where the last page ended', async (session) => {
    const { store } = session;
    const caller = await createKnownCaller(session, keyWith());
    for (const trace of ['a', 'b', 'c']) await spend(caller, 0.1, { trace });
    const first = await store.usageEvents(null, 2);
    assert.deepEqual(
      first.events.map(({ trace }) => trace),
      ['a', 'b'],
    );
    const second = await store.usageEvents(first.cursor, 2);
    const traces = (page: UsageEventPage) => page.events.map(({ trace }) => trace);
    assert.deepEqual(traces(second), ['c']);
    const end = await store.usageEvents(second.cursor, 2);
    assert.deepEqual(traces(end), []);
    await spend(caller, 0.1, { trace: 'd' });
    assert.deepEqual(traces(await store.usageEvents(end.cursor, 2)), ['d']);
    assert.deepEqual(traces(await store.usageEvents(first.cursor, 10)), ['c', 'd']);
  }),

  storeCase('ledger', 'an event that a late settlement corrects comes again, and is summed once', async (session) => {
    const { store, clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    const hold = await caller.hold({ costUsd: 1, leaseMs: minuteMs });
    clock.advance(minuteMs);
    await store.sweep(1);
    await caller.settle(hold, { inputTokens: 5, costUsd: 0.25 });
    const events = await readAll(store, 10);
    assert.deepEqual(
      events.map(({ holdId, source, costNanoUsd }) => [holdId, source, costNanoUsd]),
      [
        [hold.holdId, 'abandoned', 1_000_000_000],
        [hold.holdId, 'reported', 250_000_000],
      ],
    );
    const [row] = await store.usage({ groupBy: ['model'] });
    assert.deepEqual([row?.requests, row?.inputTokens, row?.costNanoUsd], [1, 5, 250_000_000]);
  }),
];
