import assert from 'node:assert/strict';
import { manualClock } from '../../support/clock.ts';
import { admittedHold, admittedOf, call, createKey, spend, testService } from '../../support/service.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

describe('createVirtualKeys: budgets', () => {
  it('admits exactly what fits of a thousand calls at once', async () => {
    const service = testService();
    const { key } = await createKey(service, { maxBudget: 5 });
    const calls = Array.from({ length: 1000 }, () => service.keys.admit(call(key.id, { costUsd: 0.1 })));
    assert.equal(await admittedOf(calls), 50);
    const { budgetRemaining, spend: spent } = await service.keys.get(key.id);
    assert.deepEqual({ budgetRemaining, spent }, { budgetRemaining: 0, spent: 0 });
  });

  it('records what a call really cost, past the limit too, and refuses the next', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 1, budgetDuration: 'monthly' });
    await spend(keys, key.id, 0.9);
    await spend(keys, key.id, 0.51, { costUsd: 0.05 });
    const shown = await keys.get(key.id);
    assert.deepEqual(
      [shown.spend, shown.budgetRemaining, shown.budgetUtilization, shown.budgetExceeded, shown.status],
      [1.41, 0, 141, true, 'active'],
    );
    assert.deepEqual(await keys.admit(call(key.id, { costUsd: 0.01 })), {
      admitted: false,
      reason: 'budget',
      scope: 'key',
      limit: 1,
      limitName: 'monthly_budget',
      retryAfterMs: Date.UTC(2025, 6) - service.clock(),
    });
  });

  it('gives back the reservation of calls that failed', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 1 });
    const results = await Promise.all(Array.from({ length: 10 }, () => keys.admit(call(key.id, { costUsd: 0.3 }))));
    const holds = results.filter(({ admitted }) => admitted).map(admittedHold);
    assert.equal(holds.length, 3);
    await Promise.all(holds.map((hold) => keys.cancel(hold)));
    assert.equal((await keys.admit(call(key.id, { costUsd: 1 }))).admitted, true);
  });

  it('tells how much of the budget is used, and nothing where there is none', async () => {
    const service = testService();
    const { keys } = service;
    const [limited, unlimited] = [await createKey(service, { maxBudget: 500 }), await createKey(service)];
    assert.equal(limited.key.budgetUtilization, 0);
    await spend(keys, limited.key.id, 250);
    await spend(keys, unlimited.key.id, 250);
    const shown = await Promise.all([limited, unlimited].map(({ key }) => keys.get(key.id)));
    assert.deepEqual(
      shown.map((key) => [key.spend, key.budgetUtilization, key.budgetRemaining, key.budgetResetAt]),
      [
        [250, 50, 250, null],
        [250, null, null, null],
      ],
    );
  });

  it('adds money without losing any of it', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 2000 });
    for (let times = 0; times < 10; times += 1) await spend(keys, key.id, 0.1);
    assert.equal((await keys.get(key.id)).spend, 1);
    await Promise.all(Array.from({ length: 1000 }, () => spend(keys, key.id, 1)));
    assert.equal((await keys.get(key.id)).spend, 1001);
    assert.deepEqual((await keys.usage({ keyId: key.id })).totals, {
      requests: 1010,
      inputTokens: 1010,
      outputTokens: 0,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      totalTokens: 1010,
      costUsd: 1001,
    });
  });

  it('refuses costs and tokens that cannot be true, and holds the call until it is settled', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 5 });
    const hold = admittedHold(await keys.admit(call(key.id, { costUsd: 1 })));
    for (const usage of [
      { costUsd: -1 },
      { costUsd: Number.NaN },
      { costUsd: Infinity },
      { inputTokens: -1 },
      { outputTokens: 1.5 },
      { inputTokens: Infinity },
      { inputTokens: 10, cacheReadTokens: 6, cacheWriteTokens: 5 },
    ]) {
      await assert.rejects(keys.settle(hold, usage), { code: 'invalid_request', status: 400 });
      await assert.rejects(keys.recordUsage({ id: 'x', keyId: key.id, ...usage }), { code: 'invalid_request' });
    }
    const { held, spend: spent } = await keys.balance(key.id);
    assert.deepEqual({ held, spent }, { held: 1, spent: 0 });
    assert.equal((await keys.settle(hold, { costUsd: 0.5 })).state, 'settled');
  });

  it('begins anew with each calendar period, where a call settles in the one that it was admitted in', async () => {
    const clock = manualClock(Date.UTC(2025, 5, 30, 23, 59));
    const service = testService({ clock });
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 1, budgetDuration: 'monthly' });
    const hold = admittedHold(await keys.admit(call(key.id, { costUsd: 1 })));
    clock.set(Date.UTC(2025, 6, 1) - 1);
    assert.equal((await keys.admit(call(key.id, { costUsd: 1 }))).admitted, false);
    clock.advance(1);
    assert.equal((await keys.admit(call(key.id, { costUsd: 1 }))).admitted, true);
    await keys.settle(hold, { costUsd: 0.75 });
    const { spend: spent, budgetResetAt } = await keys.get(key.id);
    assert.deepEqual({ spent, budgetResetAt }, { spent: 0, budgetResetAt: '2025-08-01T00:00:00.000Z' });
  });

  it('counts months from the creation of the key, by the end of shorter ones', async () => {
    const clock = manualClock(Date.UTC(2025, 0, 31, 9));
    const service = testService({ clock });
    const { key } = await createKey(service, { maxBudget: 1, budgetDuration: '1mo' });
    assert.equal(key.budgetResetAt, '2025-02-28T09:00:00.000Z');
    clock.set(Date.UTC(2025, 1, 28, 9));
    assert.equal((await service.keys.get(key.id)).budgetResetAt, '2025-03-31T09:00:00.000Z');
  });

  it('keeps what was spent when amount or duration of the budget change', async () => {
    const service = testService();
    const { keys, clock } = service;
    const { key } = await createKey(service, { maxBudget: 5, budgetDuration: '30d' });
    clock.advance(dayMs);
    const hold = admittedHold(await keys.admit(call(key.id, { costUsd: 1 })));
    await spend(keys, key.id, 3);
    for (const patch of [
      { budgetDuration: '29d' },
      { budgetDuration: '31d' },
      { budgetDuration: 'monthly' },
      { budgetDuration: '30d' },
      { maxBudget: null },
      { maxBudget: 5 },
    ]) {
      await keys.update(key.id, patch);
      const { spend: spent } = await keys.get(key.id);
      assert.equal(spent, 3, JSON.stringify(patch));
    }
    assert.equal((await keys.admit(call(key.id, { costUsd: 1.01 }))).admitted, false);
    await keys.settle(hold, { costUsd: 0.5 });
    assert.deepEqual([(await keys.get(key.id)).spend, (await keys.balance(key.id)).held], [3.5, 0]);
    assert.equal((await keys.admit(call(key.id, { costUsd: 1.5 }))).admitted, true);
  });

  it('opens the budget of a policy with what was spent before there was one', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { ownerId: 'ada', teamId: 'red' });
    await spend(keys, key.id, 4);
    await keys.setPolicy({ user: 'ada' }, { maxBudget: 5, budgetDuration: 'daily' });
    await keys.setPolicy({ team: 'red' }, { maxBudget: 5 });
    await keys.setPolicy('global', { budgets: [{ maxBudget: 5, budgetDuration: 'monthly' }] });
    const { limits } = await keys.balance(key.id);
    assert.deepEqual(
      limits.map(({ scope, name, used, remaining, resetAt }) => ({ scope, name, used, remaining, resetAt })),
      [
        { scope: 'user', name: 'daily_budget', used: 4, remaining: 1, resetAt: '2025-06-16T00:00:00.000Z' },
        { scope: 'team', name: 'total_budget', used: 4, remaining: 1, resetAt: null },
        { scope: 'global', name: 'monthly_budget', used: 4, remaining: 1, resetAt: '2025-07-01T00:00:00.000Z' },
      ],
    );
    assert.equal((await keys.admit(call(key.id, { costUsd: 1.01 }))).admitted, false);
  });

  it('gives back to the owner and team that a call was admitted under, wherever the key went', async () => {
    const service = testService();
    const { keys } = service;
    for (const team of ['red', 'blue']) await keys.setPolicy({ team }, { maxBudget: 10, maxParallelRequests: 1 });
    const { key } = await createKey(service, { teamId: 'red' });
    const [red, blue] = [await createKey(service, { teamId: 'red' }), await createKey(service, { teamId: 'blue' })];
    const hold = admittedHold(await keys.admit(call(key.id, { costUsd: 5 })));
    await keys.update(key.id, { teamId: 'blue' });
    const used = async (id: string) => (await keys.balance(id)).limits.map((limit) => limit.used);
    assert.deepEqual(
      [await used(red.key.id), await used(blue.key.id)],
      [
        [1, 5],
        [0, 0],
      ],
    );
    await keys.settle(hold, { costUsd: 2 });
    assert.deepEqual(
      [await used(red.key.id), await used(blue.key.id)],
      [
        [0, 2],
        [0, 0],
      ],
    );
    const { rows } = await keys.usage({ groupBy: ['team'] });
    assert.deepEqual(
      rows.map(({ team, costUsd }) => ({ team, costUsd })),
      [{ team: 'red', costUsd: 2 }],
    );
  });
});

describe('createVirtualKeys: resetSpend', () => {
  it('sets what was spent to nothing, by an audited adjustment, and leaves what is held', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 5 });
    await spend(keys, key.id, 3);
    const holds = await Promise.all(
      Array.from({ length: 10 }, async () => admittedHold(await keys.admit(call(key.id, { costUsd: 0.1 })))),
    );
    const reset = await keys.resetSpend(key.id, { id: 'ada' });
    assert.deepEqual([reset.spend, reset.budgetRemaining], [0, 4]);
    await Promise.all(holds.map((hold) => keys.settle(hold, { costUsd: 0.05 })));
    assert.equal((await keys.get(key.id)).spend, 0.5);
    const { items } = await keys.audit({ action: 'key.spend_reset' });
    assert.deepEqual(
      items.map(({ actor, target, before, after }) => ({ actor, target, before, after })),
      [{ actor: { id: 'ada' }, target: `key:${key.id}`, before: { spend: 3 }, after: { spend: 0 } }],
    );
    assert.equal((await keys.usage({ keyId: key.id })).totals.costUsd, 0.5);
    assert.equal((await keys.usage({ keyId: key.id })).totals.requests, 11);
  });
});

describe('createVirtualKeys: leases', () => {
  it('charges a call that nobody settled by its estimate, and its true cost when it is settled late', async () => {
    const service = testService();
    const { keys, clock } = service;
    const { key } = await createKey(service, { maxBudget: 10, maxParallelRequests: 1 });
    const abandoned: object[] = [];
    keys.on('hold.abandoned', (event) => abandoned.push(event));
    const hold = admittedHold(await keys.admit(call(key.id, { costUsd: 1, trace: 't' })));
    clock.advance(119_999);
    assert.deepEqual(await keys.renew(hold), { state: 'renewed' });
    clock.advance(119_999);
    assert.equal((await keys.admit(call(key.id))).admitted, false);
    clock.advance(1);
    const next = admittedHold(await keys.admit(call(key.id)));
    const event = {
      holdId: hold.holdId,
      callId: '',
      keyId: key.id,
      ownerId: null,
      teamId: null,
      model: 'gpt-4o',
      endpoint: null,
      inputTokens: 0,
      outputTokens: 0,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      costUsd: 1,
      source: 'abandoned',
      at: '2025-06-15T12:00:00.000Z',
      trace: 't',
    };
    assert.deepEqual(abandoned, [event]);
    assert.equal((await keys.get(key.id)).spend, 1);
    assert.deepEqual(await keys.renew(hold), { state: 'ended' });
    assert.deepEqual(await keys.settle(hold, { inputTokens: 7, costUsd: 3 }), { state: 'late', costUsd: 3 });
    assert.deepEqual(await keys.settle(hold, { inputTokens: 7, costUsd: 3 }), { state: 'already', costUsd: 0 });
    const { spend: spent, openRequests } = await keys.balance(key.id);
    assert.deepEqual({ spent, openRequests }, { spent: 3, openRequests: 1 });
    const { requests, costUsd, inputTokens } = (await keys.usage({ keyId: key.id })).totals;
    assert.deepEqual({ requests, costUsd, inputTokens }, { requests: 1, costUsd: 3, inputTokens: 7 });
    assert.equal((await keys.admit(call(key.id))).admitted, false);
    assert.deepEqual(await keys.settle(next, {}), { state: 'settled', costUsd: 0 });
    assert.equal(abandoned.length, 1);
  });

  it('charges nothing for abandoned calls where that is the choice', async () => {
    const service = testService({ onAbandoned: 'release', leaseMs: 5000 });
    const { key } = await createKey(service, { maxBudget: 1 });
    await service.keys.admit(call(key.id, { costUsd: 1 }));
    service.clock.advance(5000);
    assert.equal((await service.keys.admit(call(key.id, { costUsd: 1 }))).admitted, true);
    assert.equal((await service.keys.get(key.id)).spend, 0);
  });

  it('lets a hold travel as JSON to another process, and settles it once', async () => {
    const first = testService();
    const second = testService({ store: first.store, clock: first.clock });
    const { key } = await createKey(first, { maxBudget: 5 });
    const hold = admittedHold(await first.keys.admit(call(key.id, { costUsd: 1 })));
    const settle = (service: typeof first) =>
      service.keys.settle(JSON.parse(JSON.stringify(hold)), { inputTokens: 1, costUsd: 0.5 });
    const states = (await Promise.all([settle(second), settle(first), settle(second)])).map(({ state }) => state);
    assert.deepEqual(states.sort(), ['already', 'already', 'settled']);
    assert.equal((await second.keys.get(key.id)).spend, 0.5);
  });
});
