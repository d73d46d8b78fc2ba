import assert from 'node:assert/strict';
import type { UsageSums } from '../../../lib/keys/virtual-keys.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { manualClock } from '../../support/clock.ts';
import { admittedHold, call, createKey, storeWith, testService, withoutNotices } from '../../support/service.ts';

const dayMs = 86_400_000;

function sums(requests: number, inputTokens: number, outputTokens: number, costUsd: number): UsageSums {
  const totalTokens = inputTokens + outputTokens;
  return { requests, inputTokens, outputTokens, cacheReadTokens: 0, cacheWriteTokens: 0, totalTokens, costUsd };
}

describe('createVirtualKeys: usage', () => {
  /** Calls of two keys, two models and two days; the second day is the current one. */
  async function busyService() {
    const service = testService({ clock: manualClock(Date.UTC(2025, 5, 14, 23, 59)) });
    const { keys, clock } = service;
    const [a, b] = [
      await createKey(service, { ownerId: 'ada', teamId: 'red' }),
      await createKey(service, { ownerId: 'bob', teamId: 'red' }),
    ];
    const use = async (keyId: string, model: string, inputTokens: number, outputTokens: number, costUsd: number) => {
      const hold = admittedHold(await keys.admit(call(keyId, { model, endpoint: '/v1/chat/completions' })));
      await keys.settle(hold, { inputTokens, outputTokens, costUsd });
    };
    await use(a.key.id, 'gpt-4o', 10, 5, 1);
    clock.advance(60_000);
    await use(a.key.id, 'o1', 20, 10, 2);
    await use(a.key.id, 'gpt-4o', 1, 1, 0.5);
    await use(b.key.id, 'gpt-4o', 100, 0, 0.25);
    return { ...service, a: a.key.id, b: b.key.id };
  }

  it('adds up what was used, whole and by group', async () => {
    const { keys, a } = await busyService();
    assert.deepEqual(await keys.usage({}), { totals: sums(4, 131, 16, 3.75), rows: [sums(4, 131, 16, 3.75)] });
    assert.deepEqual(await keys.usage({ keyId: a, groupBy: ['day', 'model'] }), {
      totals: sums(3, 31, 16, 3.5),
      rows: [
        { day: '2025-06-14', model: 'gpt-4o', ...sums(1, 10, 5, 1) },
        { day: '2025-06-15', model: 'gpt-4o', ...sums(1, 1, 1, 0.5) },
        { day: '2025-06-15', model: 'o1', ...sums(1, 20, 10, 2) },
      ],
    });
    const byOwner = await keys.usage({ teamId: 'red', groupBy: ['owner', 'team', 'endpoint'] });
    const shared = { team: 'red', endpoint: '/v1/chat/completions' };
    assert.deepEqual(byOwner.rows, [
      { owner: 'ada', ...shared, ...sums(3, 31, 16, 3.5) },
      { owner: 'bob', ...shared, ...sums(1, 100, 0, 0.25) },
    ]);
  });

  it('counts days by UTC, today included', async () => {
    const { keys, a, b } = await busyService();
    assert.deepEqual((await keys.usage({ days: 1 })).totals, sums(3, 121, 11, 2.75));
    assert.deepEqual((await keys.usage({ days: 2 })).totals, sums(4, 131, 16, 3.75));
    assert.deepEqual((await keys.usage({ until: '2025-06-15T00:00:00Z' })).totals, sums(1, 10, 5, 1));
    assert.deepEqual((await keys.usage({ from: Date.UTC(2025, 5, 15), keyId: b })).totals, sums(1, 100, 0, 0.25));
    assert.deepEqual((await keys.usage({ from: new Date('2025-06-15'), model: 'o1' })).totals, sums(1, 20, 10, 2));
    assert.deepEqual(await keys.usage({ keyId: a, ownerId: 'bob' }), { totals: sums(0, 0, 0, 0), rows: [] });
  });

  it('refuses queries that say nothing, naming every problem', async () => {
    const { keys } = testService();
    for (const [request, ...names] of [
      [{ days: 0 }, 'days'],
      [{ days: 366, groupBy: ['hour'] }, 'days', 'groupBy.0'],
      [{ from: 'yesterday', until: '2025-06-15' }, 'from', 'until'],
      [{ from: 5, days: 5 }, 'days'],
      [{ key: 'x' }, 'key'],
    ] as [object, ...string[]][]) {
      await assert.rejects(keys.usage(request), ({ code, details }: { code: string; details: { field: string }[] }) => {
        assert.deepEqual([code, details.map(({ field }) => field)], ['invalid_request', names]);
        return true;
      });
    }
  });

  it('counts every one of two hundred calls at once, in the face of changes to their key', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service);
    const calls = Array.from({ length: 200 }, async () => {
      const hold = admittedHold(await keys.admit(call(key.id)));
      return keys.settle(hold, { inputTokens: 1, costUsd: 0.01 });
    });
    const changes = Array.from({ length: 5 }, (_, at) => keys.update(key.id, { rpmLimit: 1000 + at }));
    const settled = await Promise.all(calls);
    await Promise.all(changes);
    assert.ok(settled.every(({ state }) => state === 'settled'));
    assert.deepEqual((await keys.usage({ keyId: key.id })).totals, sums(200, 200, 0, 2));
    assert.equal((await keys.get(key.id)).spend, 2);
  });

  it('counts requests by admissions, not by the trace that a client sends', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { rpmLimit: 200 });
    for (let times = 0; times < 100; times += 1) {
      const hold = admittedHold(await keys.admit(call(key.id, { trace: 'the same' })));
      await keys.settle(hold, { inputTokens: 1, costUsd: 0.01 });
    }
    assert.deepEqual((await keys.usage({ keyId: key.id })).totals, sums(100, 100, 0, 1));
    assert.equal((await keys.balance(key.id)).limits[0]?.used, 100);
  });
});

describe('createVirtualKeys: recordUsage', () => {
  const prices = priceBook({ 'gpt-4o': { inputPerMillion: 2, outputPerMillion: 10 } });

  it('charges usage that was measured elsewhere to every budget over the key, once for each id', async () => {
    const service = testService({ prices });
    const { keys } = service;
    await keys.setPolicy({ team: 'red' }, { maxBudget: 10 });
    const { key } = await createKey(service, { teamId: 'red', maxBudget: 10 });
    const recorded: string[] = [];
    keys.on('usage.recorded', ({ source, holdId }) => recorded.push(`${source} ${holdId}`));
    const usage = { id: 'batch-1', keyId: key.id, model: 'gpt-4o', inputTokens: 500_000, outputTokens: 100_000 };
    assert.deepEqual(await keys.recordUsage(usage), { state: 'recorded', costUsd: 2 });
    assert.equal((await keys.recordUsage(usage)).state, 'already');
    assert.deepEqual(await keys.recordUsage({ id: 'batch-2', keyId: key.id, costUsd: 1 }), {
      state: 'recorded',
      costUsd: 1,
    });
    assert.deepEqual(recorded, ['external external:batch-1', 'external external:batch-2']);
    assert.deepEqual((await keys.usage({ keyId: key.id })).totals, sums(2, 500_000, 100_000, 3));
    assert.equal((await keys.get(key.id)).spend, 3);
  });

  it('counts usage in the period in which it happened', async () => {
    const service = testService();
    const { keys, clock } = service;
    const { key } = await createKey(service, { maxBudget: 10, budgetDuration: 'daily' });
    const at = new Date(clock() - dayMs).toISOString();
    await keys.recordUsage({ id: 'a', keyId: key.id, model: 'gpt-4o', costUsd: 4, at });
    await keys.recordUsage({ id: 'b', keyId: key.id, model: 'gpt-4o', costUsd: 1 });
    assert.equal((await keys.get(key.id)).spend, 1);
    const { rows } = await keys.usage({ keyId: key.id, groupBy: ['day'] });
    assert.deepEqual(
      rows.map(({ day, costUsd }) => [day, costUsd]),
      [
        ['2025-06-14', 4],
        ['2025-06-15', 1],
      ],
    );
  });

  it('charges the period that the budget has now, also in a process that heard nothing of its change', async () => {
    const service = testService();
    const { store, clock, keys } = service;
    const late = testService({ store: withoutNotices(store), clock }).keys;
    const { key } = await createKey(service, { maxBudget: 5, budgetDuration: 'weekly' });
    await late.admit(call(key.id, { model: null, tokens: 0 }));
    clock.advance(1000);
    await keys.update(key.id, { budgetDuration: 'monthly' });
    await late.recordUsage({ id: 'batch-1', keyId: key.id, costUsd: 4 });
    assert.equal((await keys.get(key.id)).spend, 4);
  });

  it('tells of a model without a price, once', async () => {
    const service = testService({ prices });
    const { key } = await createKey(service);
    const unpriced: object[] = [];
    service.keys.on('usage.unpriced', (event) => unpriced.push(event));
    const usage = { id: 'a', keyId: key.id, model: 'o1', inputTokens: 5 };
    assert.deepEqual(await service.keys.recordUsage(usage), { state: 'recorded', costUsd: 0 });
    await service.keys.recordUsage(usage);
    assert.deepEqual(unpriced, [{ keyId: key.id, model: 'o1' }]);
  });

  it('refuses usage without an id, of no key, or of a time that is none or not yet', async () => {
    const service = testService();
    const { key } = await createKey(service);
    const usage = { id: 'a', keyId: key.id, costUsd: 1 };
    for (const [fields, name] of [
      [{ id: undefined }, 'id'],
      [{ id: null }, 'id'],
      [{ id: '' }, 'id'],
      [{ keyId: null }, 'keyId'],
      [{ at: service.clock() + 1 }, 'at'],
      [{ at: 'yesterday' }, 'at'],
      [{ at: '5' }, 'at'],
      [{ at: null }, 'at'],
      [{ at: {} }, 'at'],
    ] as [object, string][]) {
      await assert.rejects(
        service.keys.recordUsage({ ...usage, ...fields }),
        { code: 'invalid_request', status: 400, param: name },
        JSON.stringify(fields),
      );
    }
    await assert.rejects(service.keys.recordUsage({ ...usage, keyId: 'nobody' }), { code: 'key_not_found' });
    assert.deepEqual((await service.keys.usage({})).totals, sums(0, 0, 0, 0));
  });
});

describe('createVirtualKeys: usage given by handlers', () => {
  it('is refused where a field is not known, so that a misnamed count is not 0', async () => {
    const service = testService();
    const { key } = await createKey(service);
    const hold = admittedHold(await service.keys.admit(call(key.id)));
    for (const usage of [{ prompt_tokens: 5 }, { inputToken: 5 }, { usage: {} }]) {
      await assert.rejects(service.keys.settle(hold, usage as object), {
        code: 'invalid_request',
        param: Object.keys(usage)[0],
      });
    }
    for (const usage of [undefined, null, 5]) {
      await assert.rejects(service.keys.settle(hold, usage as never), { code: 'invalid_request', status: 400 });
    }
    assert.equal((await service.keys.settle(hold, {})).state, 'settled');
  });
});

describe('createVirtualKeys: lastUsedAt', () => {
  it('is written at most every five minutes, whatever else is written meanwhile', async () => {
    const store = memoryStore();
    const touched: number[] = [];
    const service = testService({
      store: storeWith(store, {
        touchKey: (id, lastUsedAtMs) => {
          touched.push(lastUsedAtMs);
          return store.touchKey(id, lastUsedAtMs);
        },
      }),
    });
    const { keys, clock } = service;
    const { key, secret } = await createKey(service);
    const startMs = clock();
    await keys.verify(secret);
    assert.equal((await keys.get(key.id)).lastUsedAt, null);
    for (let seconds = 0; seconds < 600; seconds += 30) {
      clock.set(startMs + seconds * 1000);
      await keys.settle(admittedHold(await keys.admit(call(key.id))), { inputTokens: 1 });
      if (seconds === 90) await keys.update(key.id, { rpmLimit: 99 });
    }
    assert.deepEqual(touched, [startMs, startMs + 300_000]);
    const { lastUsedAt, version } = await keys.get(key.id);
    assert.deepEqual({ lastUsedAt, version }, { lastUsedAt: '2025-06-15T12:05:00.000Z', version: 2 });
    assert.equal((await keys.usage({ keyId: key.id })).totals.requests, 20);
  });

  it('is not written for calls that were refused, and its failure harms no call', async () => {
    let touched = 0;
    const service = testService({
      store: storeWith(memoryStore(), {
        touchKey: async () => {
          touched += 1;
          throw new Error('down');
        },
      }),
    });
    const { key } = await createKey(service, { rpmLimit: 1 });
    const blocked = await createKey(service, { rpmLimit: 0 });
    assert.equal((await service.keys.admit(call(blocked.key.id))).admitted, false);
    assert.equal(touched, 0);
    assert.equal((await service.keys.admit(call(key.id))).admitted, true);
    assert.equal(touched, 1);
  });
});

describe('createVirtualKeys: audit', () => {
  it('pages through the rows, newest first, of any keys, of a target or of an action', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service);
    const other = await createKey(service);
    for (const rpmLimit of [1, 2, 3]) await keys.update(key.id, { rpmLimit });
    await keys.setPolicy({ team: 'red' }, { rpmLimit: 5 }, { id: 'ada' });
    const actions = async (...query: Parameters<typeof keys.audit>) =>
      (await keys.audit(...query)).items.map(({ action, target }) => `${action} ${target}`);
    const updates = Array.from({ length: 3 }, () => `key.updated key:${key.id}`);
    const created = [`key.created key:${other.key.id}`, `key.created key:${key.id}`];
    const all = ['policy.updated team:red', ...updates, ...created];
    assert.deepEqual(await actions(), all);
    const first = await keys.audit({}, { limit: 4 });
    const rest = await keys.audit({}, { limit: 4, cursor: first.nextCursor ?? '' });
    assert.deepEqual(
      [...first.items, ...rest.items].map(({ action, target }) => `${action} ${target}`),
      all,
    );
    assert.deepEqual([first.total, rest.total, rest.nextCursor], [6, 6, null]);
    assert.deepEqual(await actions({ keyId: key.id }, { limit: 3, page: 2 }), [created[1]]);
    assert.deepEqual(await actions({ keyId: [key.id, other.key.id], action: 'key.created' }), created);
    assert.deepEqual(await actions({ target: 'team:red' }), all.slice(0, 1));
    assert.deepEqual(await actions({ keyId: [] }), []);
    await assert.rejects(keys.audit({ keyId: 'a', target: 'global' }), { code: 'invalid_request' });
  });
});
