import assert from 'node:assert/strict';
import type { AdmitReason, AdmitResult } from '../../../lib/keys/direct-admissions.ts';
import type { Hold } from '../../../lib/stores/store.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { admittedHold, call, createKey, testService } from '../../support/service.ts';

/** A refusal by a list, a price or the key itself: no limit, and no waiting. */
function refusedBy(reason: AdmitReason, scope: 'key' | 'user' | 'team' | 'global' = 'key'): AdmitResult {
  return { admitted: false, reason, scope, limit: null, limitName: null, retryAfterMs: null };
}

describe('createVirtualKeys: admit', () => {
  it('gives a hold and says what is left of the tightest limits', async () => {
    const service = testService();
    await service.keys.setPolicy('global', { rpmLimit: 3 });
    const { key } = await createKey(service, { rpmLimit: 10, tpmLimit: 100, maxParallelRequests: 2, maxBudget: 5 });
    const result = await service.keys.admit(call(key.id, { tokens: 40, costUsd: 1.5, trace: 'req-1' }));
    assert.deepEqual(result, {
      admitted: true,
      hold: admittedHold(result),
      remaining: { requests: 2, tokens: 60, concurrency: 1, budgetUsd: 3.5 },
    });
  });

  it('has nothing to say of limits that are not there', async () => {
    const service = testService();
    const { key } = await createKey(service);
    const result = await service.keys.admit(call(key.id, { costUsd: 5 }));
    assert.ok(result.admitted);
    assert.deepEqual(result.remaining, { requests: null, tokens: null, concurrency: null, budgetUsd: null });
  });

  it('refuses unknown, disabled, expired and revoked keys by a value', async () => {
    const service = testService();
    const { keys, clock } = service;
    assert.deepEqual(await keys.admit(call('nobody')), refusedBy('key'));
    const [a, b, c] = [
      await createKey(service),
      await createKey(service),
      await createKey(service, { expiresInDays: 1 }),
    ];
    await keys.disable(a.key.id);
    await keys.revoke(b.key.id);
    clock.advance(86_400_000);
    for (const { key } of [a, b, c]) assert.deepEqual(await keys.admit(call(key.id)), refusedBy('key'));
  });

  it('lets a key use the models it lists: exact, by prefix, or all', async () => {
    const service = testService();
    const allowed: [models: string[], model: string, allowed: boolean][] = [
      [['gpt-4'], 'gpt-4', true],
      [['gpt-4'], 'gpt-4-turbo', false],
      [['gpt-4'], 'claude-3', false],
      [['gpt-*'], 'gpt-3.5-turbo', true],
      [['gpt-*'], 'claude-3', false],
      [['*'], 'anything', true],
      [[], 'gpt-4', false],
    ];
    for (const [models, model, isAllowed] of allowed) {
      const { key } = await createKey(service, { models });
      const result = await service.keys.admit(call(key.id, { model }));
      if (isAllowed) assert.equal(result.admitted, true, `${models} ${model}`);
      else assert.deepEqual(result, refusedBy('model'));
    }
  });

  it('lets a key without models use none, never all', async () => {
    const service = testService();
    const { key } = await createKey(service, { models: ['gpt-4'] });
    assert.deepEqual((await service.keys.update(key.id, { models: [] })).models, []);
    assert.deepEqual(await service.keys.admit(call(key.id, { model: 'gpt-4' })), refusedBy('model'));
  });

  it('holds endpoints against permissions and lists, where one is named', async () => {
    const service = testService();
    const { key } = await createKey(service, { permissions: { allowEmbeddings: false } });
    const listed = await createKey(service, { endpoints: ['/v1/chat/*'] });
    const ask = (id: string, endpoint: string) => service.keys.admit(call(id, { endpoint }));
    assert.deepEqual(await ask(key.id, '/v1/EMBEDDINGS/'), refusedBy('endpoint'));
    assert.equal((await ask(key.id, '/v1/chat/completions')).admitted, true);
    assert.deepEqual(await ask(listed.key.id, '/v1/embeddings'), refusedBy('endpoint'));
    assert.equal((await ask(listed.key.id, '/v1/chat/completions')).admitted, true);
  });

  it('lets policies narrow every key under them, and restores at once what they took', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { ownerId: 'ada', teamId: 'red' });
    const other = await createKey(service, { ownerId: 'bob' });
    for (const [scope, kind] of [
      [{ user: 'ada' }, 'user'],
      [{ team: 'red' }, 'team'],
      ['global', 'global'],
    ] as const) {
      assert.equal((await keys.admit(call(key.id))).admitted, true);
      await keys.setPolicy(scope, { models: [] });
      assert.deepEqual(await keys.admit(call(key.id)), refusedBy('model', kind));
      assert.equal((await keys.admit(call(other.key.id))).admitted, kind !== 'global');
      await keys.setPolicy(scope, {});
    }
    await keys.setPolicy('global', { endpoints: ['/v1/embeddings'] });
    const endpoint = '/v1/chat/completions';
    assert.deepEqual(await keys.admit(call(key.id, { endpoint })), refusedBy('endpoint', 'global'));
  });

  it('refuses estimates that cannot be, naming every problem, and takes nothing', async () => {
    const service = testService();
    const { key } = await createKey(service, { rpmLimit: 5 });
    const refused: [fields: object, ...names: string[]][] = [
      [{ tokens: -1 }, 'tokens'],
      [{ tokens: Number.NaN, costUsd: -1 }, 'costUsd', 'tokens'],
      [{ tokens: 1.5 }, 'tokens'],
      [{ costUsd: Infinity }, 'costUsd'],
      [{ model: '' }, 'model'],
      [{ model: undefined }, 'model'],
      [{ trace: 'a\nb' }, 'trace'],
    ];
    for (const [fields, ...names] of refused) {
      await assert.rejects(service.keys.admit(call(key.id, fields)), (error: { code: string; details: [] }) => {
        assert.equal(error.code, 'invalid_request');
        assert.deepEqual(
          error.details.map(({ field }) => field),
          names,
        );
        return true;
      });
    }
    assert.equal((await service.keys.balance(key.id)).limits[0]?.used, 0);
  });
});

describe('createVirtualKeys: prices', () => {
  const prices = priceBook({ 'gpt-4': { inputPerMillion: 30, outputPerMillion: 60 } });

  it('charges the tokens of a call by the price book, to the nano-dollar', async () => {
    const service = testService({ prices });
    const { key } = await createKey(service, { maxBudget: 1 });
    const { costUsd: _, ...unpriced } = call(key.id, { model: 'gpt-4', tokens: 1500 });
    const hold = admittedHold(await service.keys.admit(unpriced));
    assert.equal((await service.keys.balance(key.id)).held, 0.09);
    const settled = await service.keys.settle(hold, { inputTokens: 1000, outputTokens: 500 });
    assert.deepEqual(settled, { state: 'settled', costUsd: 0.06 });
    const { spend, budgetRemaining } = await service.keys.get(key.id);
    assert.deepEqual({ spend, budgetRemaining }, { spend: 0.06, budgetRemaining: 0.94 });
  });

  it('charges the model that answered, or the one asked for where it has no price', async () => {
    const service = testService({
      prices: priceBook({
        big: { inputPerMillion: 10, outputPerMillion: 0 },
        small: { inputPerMillion: 1, outputPerMillion: 0 },
      }),
    });
    const { key } = await createKey(service);
    const settle = async (model?: string) => {
      const hold = admittedHold(await service.keys.admit(call(key.id, { model: 'big' })));
      return (await service.keys.settle(hold, { model, inputTokens: 1e6 })).costUsd;
    };
    assert.deepEqual([await settle('small'), await settle('big-2025-01-01'), await settle()], [1, 10, 10]);
  });

  it('refuses, allows or prices models that the book does not know, and never charges 0 in silence', async () => {
    const admit = async (
      unpriced: 'reject' | 'allow' | { inputPerMillion: number; outputPerMillion: number } | undefined,
      maxBudget: number | null,
    ) => {
      const service = testService({ prices, unpriced });
      const { key } = await createKey(service, { maxBudget });
      const events: object[] = [];
      service.keys.on('usage.unpriced', (event) => events.push(event));
      const { costUsd: _, ...input } = call(key.id, { model: 'new', tokens: 1_000_000 });
      const result = await service.keys.admit(input);
      if (!result.admitted) return result;
      const settled = await service.keys.settle(result.hold, { inputTokens: 1_000_000 });
      assert.deepEqual(events, settled.costUsd === 0 ? [{ keyId: key.id, model: 'new' }] : []);
      return settled.costUsd;
    };
    assert.deepEqual(await admit(undefined, 5), refusedBy('unpriced'));
    assert.equal(await admit(undefined, null), 0);
    assert.deepEqual(await admit('reject', null), refusedBy('unpriced'));
    assert.equal(await admit('allow', 5), 0);
    assert.equal(await admit({ inputPerMillion: 2, outputPerMillion: 3 }, 5), 2);
  });
});

describe('createVirtualKeys: extend', () => {
  it('holds a further call under the same slot, and each is settled by itself', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { maxParallelRequests: 1, rpmLimit: 2, maxBudget: 10 });
    const hold = admittedHold(await keys.admit(call(key.id, { costUsd: 1 })));
    const further = admittedHold(await keys.extend(hold, { model: 'o1', tokens: 5, costUsd: 2 }));
    assert.deepEqual([further.holdId, further.subject.model], [hold.holdId, 'o1']);
    assert.notEqual(further.callId, hold.callId);
    const refused = await keys.extend(hold, { model: 'o1', tokens: 5, costUsd: 2 });
    assert.ok(!refused.admitted);
    assert.equal(refused.reason, 'requests');
    assert.equal((await keys.balance(key.id)).held, 3);
    await keys.settle(hold, { inputTokens: 1, costUsd: 0.5 });
    assert.equal((await keys.balance(key.id)).openRequests, 1);
    await keys.settle(further, { inputTokens: 1, costUsd: 0.25 });
    const { openRequests, spend, held } = await keys.balance(key.id);
    assert.deepEqual({ openRequests, spend, held }, { openRequests: 0, spend: 0.75, held: 0 });
    assert.deepEqual(await keys.extend(hold, { model: 'o1', tokens: 5, costUsd: 0 }), refusedBy('key'));
  });

  it('refuses what a hold may not extend to: another model, or a key that was revoked', async () => {
    const service = testService();
    const { key } = await createKey(service, { models: ['gpt-4o'] });
    const hold = admittedHold(await service.keys.admit(call(key.id)));
    assert.deepEqual(await service.keys.extend(hold, { model: 'o1', tokens: 1 }), refusedBy('model'));
    await service.keys.revoke(key.id);
    assert.deepEqual(await service.keys.extend(hold, { model: 'gpt-4o', tokens: 1 }), refusedBy('key'));
    assert.equal((await service.keys.settle(hold, {})).state, 'settled');
  });

  it('takes holds alone that have the shape of one', async () => {
    const { keys } = testService();
    for (const hold of [undefined, null, {}, { holdId: 'x' }, 'hold']) {
      for (const use of [
        () => keys.extend(hold as unknown as Hold, { model: 'o1', tokens: 1 }),
        () => keys.settle(hold as unknown as Hold, {}),
        () => keys.cancel(hold as unknown as Hold),
        () => keys.renew(hold as unknown as Hold),
      ]) {
        await assert.rejects(use, { code: 'invalid_request', status: 400, param: 'hold' });
      }
    }
  });
});
