import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { StoreUnavailableError } from '../../../lib/errors.ts';
import type { ShownAlert } from '../../../lib/keys/shown-alert.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { eventually } from '../../support/eventually.ts';
import {
  admittedHold,
  call,
  createKey,
  spend,
  storeWith,
  type TestService,
  testService,
  withoutNotices,
} from '../../support/service.ts';

const dayMs = 86_400_000;

/** What listeners are told of budgets: `<type> <target> <budget> <threshold> at <spend>`. */
function toldBudgets({ keys }: Pick<TestService, 'keys'>): string[] {
  const told: string[] = [];
  const note = ({ type, target, budget }: ShownAlert) =>
    void told.push(`${type} ${target.split(':')[0]} ${budget?.name} ${budget?.threshold} at ${budget?.spend}`);
  keys.on('budget.warning', note);
  keys.on('budget.exceeded', note);
  return told;
}

/** Spends what was not estimated, so that no budget refuses it, and lets the alerts be stored. */
async function spendMore({ keys }: Pick<TestService, 'keys'>, keyId: string, costUsd: number) {
  await spend(keys, keyId, costUsd);
  await setImmediate();
}

async function alertCount({ keys }: Pick<TestService, 'keys'>) {
  return (await keys.alerts()).total;
}

describe('createVirtualKeys: budget alerts', () => {
  it('warns once at the soft budget and tells once that the budget is exceeded', async () => {
    const service = testService();
    const told = toldBudgets(service);
    const { key } = await createKey(service, { maxBudget: 100, softBudget: 80, budgetDuration: 'monthly' });
    await spendMore(service, key.id, 30);
    assert.deepEqual([told, await alertCount(service)], [[], 0]);
    await spendMore(service, key.id, 51);
    assert.deepEqual(told, ['budget.warning key monthly_budget 80 at 81']);
    assert.equal(await alertCount(service), 1);
    await spendMore(service, key.id, 20);
    assert.deepEqual(told.slice(1), ['budget.exceeded key monthly_budget 100 at 101']);
    assert.equal(await alertCount(service), 2);
  });

  it('tells listeners and lists the same, with all that there is to know', async () => {
    const service = testService();
    const events: ShownAlert[] = [];
    service.keys.on('budget.warning', (event) => events.push(event));
    const { key } = await createKey(service, {
      maxBudget: 10,
      budgetDuration: 'monthly',
      ownerId: 'ada',
      teamId: 'red',
    });
    await spendMore(service, key.id, 9.25);
    const alert = {
      id: events[0]?.id,
      type: 'budget.warning',
      at: '2025-06-15T12:00:00.000Z',
      scope: 'key',
      target: `key:${key.id}`,
      ownerId: 'ada',
      teamId: 'red',
      keyId: key.id,
      model: null,
      budget: {
        name: 'monthly_budget',
        maxBudget: 10,
        threshold: 9,
        percent: 90,
        spend: 9.25,
        resetAt: '2025-07-01T00:00:00.000Z',
      },
    };
    assert.match(alert.id ?? '', /^[\w-]{43}$/);
    assert.deepEqual(events, [alert]);
    assert.deepEqual(await service.keys.alerts(), { items: [alert], total: 1, nextCursor: null });
  });

  it('tells each threshold that is reached by and by, and of several at once the highest alone', async () => {
    const service = testService();
    const told = toldBudgets(service);
    const [byAndBy, atOnce] = [
      await createKey(service, { maxBudget: 100 }),
      await createKey(service, { maxBudget: 10 }),
    ];
    for (const costUsd of [79, 1, 9, 1, 5, 4, 0.5, 0.5, 1]) await spendMore(service, byAndBy.key.id, costUsd);
    await spendMore(service, atOnce.key.id, 9.9);
    await spendMore(service, atOnce.key.id, 9);
    assert.deepEqual(told, [
      'budget.warning key total_budget 80 at 80',
      'budget.warning key total_budget 90 at 90',
      'budget.warning key total_budget 95 at 95',
      'budget.exceeded key total_budget 100 at 100',
      'budget.warning key total_budget 9.5 at 9.9',
      'budget.exceeded key total_budget 10 at 18.9',
    ]);
  });

  it('watches budgets of key, user, team and everybody, of each duration and model', async () => {
    const service = testService();
    const told = toldBudgets(service);
    const { keys } = service;
    await keys.setPolicy({ user: 'ada' }, { maxBudget: 20, budgetDuration: 'weekly' });
    await keys.setPolicy({ team: 'red' }, { modelMaxBudget: { 'gpt-*': { maxBudget: 30, budgetDuration: 'daily' } } });
    await keys.setPolicy('global', { softBudget: 25, maxBudget: 1000 });
    const fields = { ownerId: 'ada', teamId: 'red', budgets: [{ maxBudget: 10, budgetDuration: 'hourly' }] };
    const { key } = await createKey(service, fields);
    for (const [costUsd, model] of [
      [9, 'gpt-4o'],
      [8, 'claude-4'],
      [10, 'claude-4'],
      [16, 'gpt-4o'],
    ] as const) {
      // Measured elsewhere, it is refused by no budget.
      await keys.recordUsage({ id: `${costUsd}`, keyId: key.id, model, costUsd });
      await setImmediate();
    }
    assert.deepEqual(told, [
      'budget.warning key hourly_budget 9 at 9',
      'budget.exceeded key hourly_budget 10 at 17',
      'budget.warning user weekly_budget 16 at 17',
      'budget.exceeded user weekly_budget 20 at 27',
      'budget.warning global total_budget 25 at 27',
      'budget.warning team model_budget 24 at 25',
    ]);
    const { items } = await keys.alerts({ target: 'team:red' });
    assert.deepEqual(
      items.map(({ keyId, model, ownerId, teamId }) => ({ keyId, model, ownerId, teamId })),
      [{ keyId: key.id, model: 'gpt-*', ownerId: null, teamId: 'red' }],
    );
  });

  it('counts for a soft budget that a policy gets later what was spent before', async () => {
    const service = testService();
    const told = toldBudgets(service);
    const { key } = await createKey(service, { teamId: 'red' });
    await service.keys.setPolicy({ team: 'red' }, {});
    await spendMore(service, key.id, 4);
    await service.keys.setPolicy({ team: 'red' }, { softBudget: 5 });
    await spendMore(service, key.id, 0.5);
    await spendMore(service, key.id, 0.5);
    await service.keys.setPolicy({ team: 'red' }, { softBudget: 6 });
    await spendMore(service, key.id, 1);
    assert.deepEqual(told, ['budget.warning team total_budget 5 at 5', 'budget.warning team total_budget 6 at 6']);
  });

  it('tells nothing again when the spend was reset, and all again in the next period', async () => {
    const service = testService();
    const told = toldBudgets(service);
    const { key } = await createKey(service, { maxBudget: 10, budgetDuration: 'daily' });
    await spendMore(service, key.id, 8);
    await service.keys.resetSpend(key.id);
    await spendMore(service, key.id, 8.5);
    assert.equal(told.length, 1);
    service.clock.advance(dayMs);
    await spendMore(service, key.id, 8.5);
    assert.deepEqual(told, ['budget.warning key daily_budget 8 at 8', 'budget.warning key daily_budget 8 at 8.5']);
  });

  it('tells by the limits as they are now, also of what was spent before they were lowered', async () => {
    const service = testService();
    const told = toldBudgets(service);
    const { key } = await createKey(service, { maxBudget: 100 });
    await spendMore(service, key.id, 60);
    await service.keys.update(key.id, { maxBudget: 50 });
    await service.keys.recordUsage({ id: 'job', keyId: key.id, costUsd: 1, model: 'gpt-4o' });
    await setImmediate();
    assert.deepEqual(told, ['budget.exceeded key total_budget 50 at 61']);
    await service.keys.update(key.id, { maxBudget: 70 });
    await spendMore(service, key.id, 1);
    assert.deepEqual(told.slice(1), ['budget.warning key total_budget 56 at 62']);
  });

  it('tells once of many processes, also by one that has never seen the key', async () => {
    const store = withoutNotices(memoryStore());
    const [one, other] = [testService({ store }), testService({ store })];
    const told = [...[one, other].map(toldBudgets)];
    const { key } = await createKey(one, { maxBudget: 10 });
    const holds = await Promise.all(
      Array.from({ length: 20 }, async () => admittedHold(await one.keys.admit(call(key.id)))),
    );
    await Promise.all(holds.map((hold, at) => (at % 2 ? one : other).keys.settle(hold, { costUsd: 0.45 })));
    await eventually(async () => (await alertCount(one)) === 2);
    assert.deepEqual(told.flat().sort(), [
      'budget.warning key total_budget 8 at 8.1',
      'budget.warning key total_budget 9 at 9',
    ]);
  });

  it('tells of what abandoned holds are charged, late settlements, and usage from elsewhere', async () => {
    const service = testService();
    const told = toldBudgets(service);
    const { key } = await createKey(service, { maxBudget: 10 });
    const hold = admittedHold(await service.keys.admit(call(key.id, { costUsd: 8 })));
    service.clock.advance(120_000);
    await service.store.sweep(10);
    await setImmediate();
    await service.keys.settle(hold, { costUsd: 9 });
    await service.keys.recordUsage({ id: 'job', keyId: key.id, model: 'gpt-4o', costUsd: 0.5 });
    await setImmediate();
    assert.deepEqual(told, [
      'budget.warning key total_budget 8 at 8',
      'budget.warning key total_budget 9 at 9',
      'budget.warning key total_budget 9.5 at 9.5',
    ]);
  });

  it('is stored when the store is back, and holds up no settlement meanwhile', async () => {
    const store = memoryStore();
    let isDown = true;
    const service = testService({
      store: storeWith(store, {
        async insertAlert(alert) {
          if (isDown) throw new StoreUnavailableError();
          return store.insertAlert(alert);
        },
      }),
    });
    const told = toldBudgets(service);
    const { key } = await createKey(service, { maxBudget: 10 });
    await spendMore(service, key.id, 8);
    await spendMore(service, key.id, 0.5);
    assert.deepEqual(told, []);
    isDown = false;
    await service.keys.close();
    assert.deepEqual(told, ['budget.warning key total_budget 8 at 8']);
  });

  it('is told when the store keeps it in time and answers too late', async () => {
    const store = memoryStore();
    const answers: (() => void)[] = [];
    const service = testService({
      storeTimeoutMs: 5,
      store: storeWith(store, {
        insertAlert: async (alert) => {
          const inserted = await store.insertAlert(alert);
          await new Promise<void>((resolve) => answers.push(resolve));
          return inserted;
        },
      }),
    });
    const told = toldBudgets(service);
    const down = new Promise((resolve) => service.keys.on('store.down', resolve));
    const { key } = await createKey(service, { maxBudget: 1 });
    await spend(service.keys, key.id, 2);
    await down;
    assert.deepEqual(told, []);
    for (const answer of answers) answer();
    await eventually(() => told.length > 0);
    assert.deepEqual(told, ['budget.exceeded key total_budget 1 at 2']);
  });

  it('is told when the store keeps it and its answer is lost', async () => {
    const store = memoryStore();
    let isLost = true;
    const service = testService({
      store: storeWith(store, {
        insertAlert: async (alert) => {
          const inserted = await store.insertAlert(alert);
          if (!isLost) return inserted;
          isLost = false;
          throw new StoreUnavailableError();
        },
      }),
    });
    const told = toldBudgets(service);
    const { key } = await createKey(service, { maxBudget: 1 });
    await spend(service.keys, key.id, 2);
    await service.keys.close();
    assert.deepEqual(told, ['budget.exceeded key total_budget 1 at 2']);
  });

  it('is told with a later call when the store was away for ten minutes', async () => {
    const store = memoryStore();
    let isDown = true;
    const service = testService({
      store: storeWith(store, {
        async insertAlert(alert) {
          service.clock.advance(11 * 60_000);
          if (isDown) throw new StoreUnavailableError();
          return store.insertAlert(alert);
        },
      }),
    });
    const told = toldBudgets(service);
    const { key } = await createKey(service, { maxBudget: 10 });
    await spendMore(service, key.id, 8);
    await eventually(() => service.log.lines.some((line) => line.startsWith('error: An alert was given up')));
    isDown = false;
    await spendMore(service, key.id, 0.5);
    assert.deepEqual(told, ['budget.warning key total_budget 8 at 8.5']);
  });

  it('is stored before the service closes, whatever has to be looked up for it', async () => {
    const store = memoryStore();
    const slowly = async <T>(answer: Promise<T>): Promise<T> => {
      await setImmediate();
      return answer;
    };
    const first = testService({ store });
    const { key } = await createKey(first, { maxBudget: 10 });
    const hold = admittedHold(await first.keys.admit(call(key.id)));
    const closing = testService({
      clock: first.clock,
      store: storeWith(store, {
        settle: async (request) => slowly(Promise.resolve(store.settle(request))),
        findKey: (id) => slowly(store.findKey(id)),
        insertAlert: (alert) => slowly(store.insertAlert(alert)),
      }),
    });
    const told = toldBudgets(closing);
    void closing.keys.settle(hold, { costUsd: 10 });
    await closing.keys.close();
    assert.deepEqual(told, ['budget.exceeded key total_budget 10 at 10']);
  });
});

describe('createVirtualKeys: alerts of calls', () => {
  it('are one for each key, model and day, however many holds are abandoned', async () => {
    const service = testService();
    const { keys, clock, store } = service;
    const { key } = await createKey(service, { ownerId: 'ada' });
    const abandon = async (...models: string[]) => {
      for (const model of models) await keys.admit(call(key.id, { model }));
      clock.advance(120_000);
      await store.sweep(100);
      await setImmediate();
    };
    await abandon('gpt-4o', 'gpt-4o', 'o3');
    await abandon('gpt-4o', 'o3');
    const { items } = await keys.alerts({ type: 'hold.abandoned' });
    const alert = {
      type: 'hold.abandoned',
      at: '2025-06-15T12:02:00.000Z',
      scope: 'key',
      target: `key:${key.id}`,
      ownerId: 'ada',
      teamId: null,
      keyId: key.id,
      budget: null,
    };
    const ofModels = items.map(({ id: _, ...shown }) => shown).sort((a, b) => `${a.model}`.localeCompare(`${b.model}`));
    assert.deepEqual(ofModels, [
      { ...alert, model: 'gpt-4o' },
      { ...alert, model: 'o3' },
    ]);
    clock.advance(dayMs);
    await abandon('gpt-4o');
    assert.equal((await keys.alerts({ type: 'hold.abandoned' })).total, 3);
  });

  it('tell of lost holds, and of models without a price', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service);
    const hold = admittedHold(await keys.admit(call(key.id)));
    await keys.settle({ ...hold, holdId: 'lost' }, { inputTokens: 1 });
    await keys.recordUsage({ id: 'job', keyId: key.id, model: 'o3' });
    await setImmediate();
    const { items } = await keys.alerts({ keyId: key.id });
    assert.deepEqual(items.map(({ type, model }) => `${type} ${model}`).sort(), [
      'hold.lost gpt-4o',
      'usage.unpriced gpt-4o',
      'usage.unpriced o3',
    ]);
  });

  it('count models beyond fifty of one key and day as one, so that names flood nothing', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service);
    for (let model = 0; model < 60; model += 1) {
      await keys.recordUsage({ id: `${model}`, keyId: key.id, model: `m${model}` });
    }
    await setImmediate();
    const { total } = await keys.alerts({ type: 'usage.unpriced' });
    assert.equal(total, 51);
  });
});

describe('createVirtualKeys: alerts', () => {
  it('pages and filters, and names what cannot be asked for', async () => {
    const service = testService();
    const { keys } = service;
    const ids: string[] = [];
    for (const ownerId of ['ada', 'bob', 'ada']) {
      const { key } = await createKey(service, { maxBudget: 1, ownerId, teamId: 'red' });
      ids.push(key.id);
      await spendMore(service, key.id, 1);
      service.clock.advance(1);
    }
    const keyIdsOf = async (...query: Parameters<typeof keys.alerts>) =>
      (await keys.alerts(...query)).items.map(({ keyId }) => ids.indexOf(keyId));
    const { nextCursor } = await keys.alerts({}, { limit: 2 });
    assert.deepEqual(await keyIdsOf({}, { limit: 2 }), [2, 1]);
    assert.deepEqual(await keyIdsOf({}, { limit: 2, cursor: nextCursor ?? '' }), [0]);
    assert.deepEqual(await keyIdsOf({ ownerId: 'ada' }), [2, 0]);
    assert.deepEqual(await keyIdsOf({ type: ['budget.warning', 'hold.lost'] }), []);
    assert.deepEqual(await keyIdsOf({ keyId: ids.slice(0, 2), teamId: ['red'] }), [1, 0]);
    for (const [query, param] of [
      [{ type: 'budget.over' }, 'type'],
      [{ target: 'nowhere' }, 'target'],
      [{ keyId: 'a', target: 'global' }, 'target'],
      [{ unheardOf: 1 }, 'unheardOf'],
    ] as const) {
      await assert.rejects(keys.alerts(query as object), { code: 'invalid_request', param });
    }
  });
});
