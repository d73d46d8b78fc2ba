import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { noLimits } from '../../../lib/limits/limit.ts';
import { createPlan } from '../../../lib/limits/plan.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import type { AdmitRequest, Store } from '../../../lib/stores/store.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { ownRedisServer, type RedisServer } from '../../support/services/redis-server.ts';

describe('redisStore: scripts', function () {
  this.timeout(60_000);
  let server: RedisServer;
  let client: Redis;

  before(async () => {
    server = await ownRedisServer();
    client = new Redis(server.url);
  });

  after(async () => {
    client.disconnect();
    await server.stop();
  });

  const usage = { inputTokens: 5, outputTokens: 5, cacheReadTokens: 0, cacheWriteTokens: 0 };

  /** Makes calls of a key that the ledger knows, each admitted and settled. */
  async function caller(store: Store): Promise<(holdId: string) => Promise<string>> {
    const limits = { ...noLimits, rpmLimit: 100_000, maxParallelRequests: 1000, maxBudgetNanoUsd: 1e12 };
    const scope = { scopeId: 'key:one', revision: 1, anchorMs: 0, rateLimitEnabled: true, limits } as const;
    const plan = createPlan([scope], 'gpt-4o', Date.now());
    const request = (holdId: string): AdmitRequest => ({
      holdId,
      plan,
      mintedAtMs: Date.now(),
      amounts: { tokens: 10, costNanoUsd: 100 },
      subject: { keyId: 'one', ownerId: null, teamId: null, model: 'gpt-4o', endpoint: null },
      notAfterMs: null,
      leaseMs: 60_000,
      onAbandoned: 'charge',
      trace: null,
    });
    const unseeded = await store.admit(request('unseeded'));
    if (unseeded.outcome !== 'unseeded') assert.fail(unseeded.outcome);
    for (const { scopeId, nonce } of unseeded.scopes) await store.seed(scopeId, nonce, 1, []);
    return async (holdId) => {
      const verdict = await store.admit(request(holdId));
      if (verdict.outcome !== 'admitted') return verdict.outcome;
      const { hold } = verdict;
      return (await store.settle({ hold, usage, costNanoUsd: 70, source: 'reported', model: 'gpt-4o' })).state;
    };
  }

  /** Redis 6.2 has none. */
  async function hasFunctions(): Promise<boolean> {
    const [command] = (await client.call('COMMAND', 'INFO', 'FUNCTION')) as unknown[];
    return command !== null;
  }

  it('are forgotten by the server again and again under load, and each call is counted once', async () => {
    const store = redisStore({ client, prefix: newPrefix() });
    const call = await caller(store);
    const callers = 32;
    const states = new Map<string, number>();
    let isOver = false;
    const calling = Array.from({ length: callers }, async (_, at) => {
      for (let round = 0; !isOver; round += 1) {
        // Half of them come together, the others in between.
        if (at % 2 === 1) await sleep(at / 8);
        const state = await call(`${at}-${round}`);
        states.set(state, (states.get(state) ?? 0) + 1);
      }
    });
    const commands = (await hasFunctions()) ? ['SCRIPT', 'FUNCTION'] : ['SCRIPT'];
    for (let flushes = 0; flushes < 50; flushes += 1) {
      for (const command of commands) await client.call(command, 'FLUSH');
      await sleep(10);
    }
    isOver = true;
    await Promise.all(calling);

    const calls = states.get('settled') ?? 0;
    assert.deepEqual([...states.keys()], ['settled']);
    assert.ok(calls > callers);
    const [balance] = await store.balances(['key:one']);
    assert.equal(balance?.openHolds, 0);
    assert.equal(balance?.windows.find(({ id }) => id === 'rpm')?.used, calls);
    assert.deepEqual(
      balance?.budgets.map(({ spentNanoUsd, heldNanoUsd }) => [spentNanoUsd, heldNanoUsd]),
      [[70 * calls, 0]],
    );
  });

  it('need no right to functions', async () => {
    const refused = (await hasFunctions()) ? ['-function', '-fcall'] : [];
    await client.acl('SETUSER', 'app', 'reset', 'on', '>secret', '~*', '&*', '+@all', ...refused);
    const restricted = new Redis(server.url, { username: 'app', password: 'secret' });
    try {
      await assert.rejects(() => restricted.call('FUNCTION', 'LIST'), /NOPERM|unknown command/);
      const call = await caller(redisStore({ client: restricted, prefix: newPrefix() }));
      assert.equal(await call('one'), 'settled');
    } finally {
      restricted.disconnect();
    }
  });
});
