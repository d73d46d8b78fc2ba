import assert from 'node:assert/strict';
import type { AdmitInput, AdmitResult } from '../../../lib/keys/direct-admissions.ts';
import type { VirtualKeys } from '../../../lib/keys/virtual-keys.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { admittedHold, admittedOf, call, createKey, testService } from '../../support/service.ts';

const minuteMs = 60_000;

function times(keys: VirtualKeys, count: number, input: AdmitInput): Promise<AdmitResult>[] {
  return Array.from({ length: count }, () => keys.admit(input));
}

async function usedOf(keys: VirtualKeys, id: string, name: string): Promise<number | undefined> {
  return (await keys.balance(id)).limits.find((limit) => limit.name === name)?.used;
}

describe('createVirtualKeys: rate limits', () => {
  it('admits exactly ten of fifteen at once under ten a minute', async () => {
    const service = testService();
    const { key } = await createKey(service, { rpmLimit: 10 });
    assert.equal(await admittedOf(times(service.keys, 15, call(key.id))), 10);
    assert.deepEqual(await service.keys.admit(call(key.id)), {
      admitted: false,
      reason: 'requests',
      scope: 'key',
      limit: 10,
      limitName: 'rpm',
      retryAfterMs: 61_000,
    });
  });

  it('admits again at exactly the time it told, and never more in any minute', async () => {
    const service = testService();
    const { keys, clock } = service;
    const { key } = await createKey(service, { rpmLimit: 5 });
    clock.advance(59_000);
    assert.equal(await admittedOf(times(keys, 5, call(key.id))), 5);
    clock.advance(2000);
    const refused = await keys.admit(call(key.id));
    assert.ok(!refused.admitted);
    clock.advance((refused.retryAfterMs ?? 0) - 1);
    assert.equal(await admittedOf(times(keys, 5, call(key.id))), 0);
    clock.advance(1);
    assert.equal(await admittedOf(times(keys, 6, call(key.id))), 5);
  });

  it('holds estimates of tokens against what is left', async () => {
    const service = testService();
    const { key } = await createKey(service, { tpmLimit: 500 });
    await service.keys.admit(call(key.id, { tokens: 400 }));
    for (const [tokens, admitted] of [
      [200, false],
      [101, false],
      [100, true],
      [1, false],
    ] as const) {
      const result = await service.keys.admit(call(key.id, { tokens }));
      assert.equal(result.admitted, admitted, `${tokens}`);
      if (!result.admitted) assert.deepEqual([result.reason, result.limit], ['tokens', 500]);
    }
    assert.deepEqual(await service.keys.admit(call(key.id, { tokens: 501 })), {
      admitted: false,
      reason: 'too_large',
      scope: 'key',
      limit: 500,
      limitName: 'tpm',
      retryAfterMs: null,
    });
  });

  it('refuses requests larger than the largest allowed, of whichever scope', async () => {
    const service = testService();
    await service.keys.setPolicy({ team: 'red' }, { maxTokensPerRequest: 50 });
    const { key } = await createKey(service, { teamId: 'red', maxTokensPerRequest: 100 });
    assert.deepEqual(await service.keys.admit(call(key.id, { tokens: 51 })), {
      admitted: false,
      reason: 'too_large',
      scope: 'team',
      limit: 50,
      limitName: 'max_tokens_per_request',
      retryAfterMs: null,
    });
    assert.equal((await service.keys.admit(call(key.id, { tokens: 50 }))).admitted, true);
  });

  it('blocks by a limit of 0, for ever and under its own name', async () => {
    const service = testService();
    for (const [field, reason, limitName] of [
      ['rpmLimit', 'requests', 'rpm'],
      ['tpmLimit', 'tokens', 'tpm'],
      ['rpdLimit', 'requests', 'rpd'],
      ['tpdLimit', 'tokens', 'tpd'],
      ['maxParallelRequests', 'concurrency', 'parallel'],
      ['maxBudget', 'budget', 'total_budget'],
    ] as const) {
      const { key } = await createKey(service, { [field]: 0 });
      assert.equal(key[field], 0);
      const refusal = { admitted: false, reason, scope: 'key', limit: 0, limitName, retryAfterMs: null } as const;
      assert.deepEqual(await service.keys.admit(call(key.id)), refusal);
    }
  });

  it('counts the true tokens when a call is settled, and none as a request all the same', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { tpmLimit: 1000, rpmLimit: 100 });
    const hold = admittedHold(await keys.admit(call(key.id, { tokens: 100 })));
    await keys.settle(hold, { inputTokens: 200, outputTokens: 100 });
    assert.equal(await usedOf(keys, key.id, 'tpm'), 300);
    await keys.settle(admittedHold(await keys.admit(call(key.id, { tokens: 100 }))), {});
    assert.equal(await usedOf(keys, key.id, 'tpm'), 300);
    assert.equal(await usedOf(keys, key.id, 'rpm'), 2);
    assert.equal((await keys.usage({ keyId: key.id })).totals.requests, 2);
  });

  it('frees a slot by settlement, by cancellation and at the end of the lease', async () => {
    const service = testService();
    const { keys, clock } = service;
    const { key } = await createKey(service, { maxParallelRequests: 2 });
    const [first, second] = [await keys.admit(call(key.id)), await keys.admit(call(key.id))];
    const refusal = {
      admitted: false,
      reason: 'concurrency',
      scope: 'key',
      limit: 2,
      limitName: 'parallel',
      retryAfterMs: 1000,
    };
    assert.deepEqual(await keys.admit(call(key.id)), refusal);
    await keys.settle(admittedHold(first), {});
    await keys.settle(admittedHold(first), {});
    const third = await keys.admit(call(key.id));
    assert.deepEqual(await keys.admit(call(key.id)), refusal);
    await keys.cancel(admittedHold(second));
    await keys.cancel(admittedHold(second));
    await keys.cancel(admittedHold(third));
    assert.equal(await admittedOf(times(keys, 3, call(key.id))), 2);
    clock.advance(120_000);
    assert.equal(await admittedOf(times(keys, 3, call(key.id))), 2);
  });

  it('counts and never refuses while rate limits are off, and money always holds', async () => {
    const service = testService();
    const { key } = await createKey(service, { rpmLimit: 5, tpmLimit: 5, rateLimitEnabled: false, maxBudget: 2 });
    assert.equal(await admittedOf(times(service.keys, 20, call(key.id, { costUsd: 0.1 }))), 20);
    const refused = await service.keys.admit(call(key.id, { costUsd: 0.1 }));
    assert.ok(!refused.admitted);
    assert.deepEqual([refused.reason, refused.limitName], ['budget', 'total_budget']);
    await service.keys.update(key.id, { rateLimitEnabled: true, maxBudget: null });
    const counted = await service.keys.admit(call(key.id));
    assert.ok(!counted.admitted);
    assert.deepEqual([counted.reason, counted.limit], ['requests', 5]);
    assert.equal(await usedOf(service.keys, key.id, 'rpm'), 20);
  });

  it('limits a model by itself, and all that a pattern stands for together', async () => {
    const service = testService();
    const { key } = await createKey(service, {
      rpmLimit: 20,
      modelRpmLimit: { 'gpt-4': 5, 'o*': 3 },
      modelTpmLimit: { 'gpt-4': 1000 },
      modelMaxBudget: { 'gpt-4': 1 },
    });
    const ask = (model: string, fields = {}) => service.keys.admit(call(key.id, { model, ...fields }));
    const admitted = await Promise.all(Array.from({ length: 6 }, () => ask('gpt-4')));
    assert.equal(admitted.filter((result) => result.admitted).length, 5);
    assert.deepEqual(admitted[5], {
      admitted: false,
      reason: 'requests',
      scope: 'key',
      limit: 5,
      limitName: 'model_rpm',
      retryAfterMs: 61_000,
    });
    assert.equal((await ask('gpt-3.5')).admitted, true);
    assert.equal(await admittedOf([ask('o1'), ask('o3'), ask('o1'), ask('o3')]), 3);
    service.clock.advance(2 * minuteMs);
    assert.deepEqual((await ask('gpt-4', { tokens: 1001 })) as object, {
      admitted: false,
      reason: 'too_large',
      scope: 'key',
      limit: 1000,
      limitName: 'model_tpm',
      retryAfterMs: null,
    });
    const dear = await ask('gpt-4', { costUsd: 1.01 });
    assert.ok(!dear.admitted);
    assert.deepEqual([dear.reason, dear.limit, dear.limitName], ['budget', 1, 'model_budget']);
    assert.equal((await ask('gpt-3.5', { costUsd: 1.01 })).admitted, true);
  });

  it('leaves the counters of the key as they were when the team refuses', async () => {
    const service = testService();
    const { keys } = service;
    await keys.setPolicy({ team: 'red' }, { rpmLimit: 2, maxBudget: 1 });
    const limits = { rpmLimit: 10, tpmLimit: 1000, maxParallelRequests: 5, maxBudget: 100, budgetDuration: 'daily' };
    const { key } = await createKey(service, { teamId: 'red', ...limits });
    await keys.admit(call(key.id, { tokens: 10, costUsd: 0.5 }));
    const before = await keys.balance(key.id);
    const refused = await keys.admit(call(key.id, { tokens: 10, costUsd: 0.51 }));
    assert.deepEqual(refused, {
      admitted: false,
      reason: 'budget',
      scope: 'team',
      limit: 1,
      limitName: 'total_budget',
      retryAfterMs: null,
    });
    assert.deepEqual(await keys.balance(key.id), before);
    await keys.admit(call(key.id));
    assert.ok(!(await keys.admit(call(key.id))).admitted);
    assert.equal(await usedOf(keys, key.id, 'tpm'), 11);
  });

  it('holds two services on one store against the same limit', async () => {
    const store = memoryStore();
    const first = testService({ store });
    const second = testService({ store, clock: first.clock });
    const { key } = await createKey(first, { rpmLimit: 10 });
    const calls = [...times(first.keys, 10, call(key.id)), ...times(second.keys, 10, call(key.id))];
    assert.equal(await admittedOf(calls), 10);
  });

  it('is no looser for an hour forward and back on the clock, and recovers', async () => {
    const service = testService();
    const { keys, clock, log } = service;
    const { key } = await createKey(service, { rpmLimit: 10 });
    assert.equal(await admittedOf(times(keys, 10, call(key.id))), 10);
    clock.advance(60 * minuteMs);
    assert.equal(await admittedOf(times(keys, 12, call(key.id))), 10);
    clock.advance(-60 * minuteMs);
    assert.equal(await admittedOf(times(keys, 10, call(key.id))), 0);
    assert.deepEqual(log.lines, [`warn: The store's clock stepped back; rpm of key:${key.id} starts again`]);
    clock.advance(61_000);
    assert.equal(await admittedOf(times(keys, 12, call(key.id))), 10);
  });
});
