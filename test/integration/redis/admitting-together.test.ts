import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { noLimits } from '../../../lib/limits/limit.ts';
import { createPlan } from '../../../lib/limits/plan.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import type { AdmitRequest, AdmitVerdict, Store } from '../../../lib/stores/store.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { ownRedisServer, type RedisServer } from '../../support/services/redis-server.ts';

describe('redisStore: calls of one tick', () => {
  let server: RedisServer;
  let client: Redis;
  let store: Store;

  before(async function () {
    this.timeout(60_000);
    server = await ownRedisServer();
    client = new Redis(server.url);
  });

  after(async () => {
    client.disconnect();
    await server.stop();
  });

  beforeEach(() => {
    store = redisStore({ client, prefix: newPrefix() });
  });

  /** Under one plan of a key that the ledger knows and has counted for. */
  async function caller(rpmLimit: number): Promise<(holdId: string, tokens?: number) => AdmitRequest> {
    const limits = { ...noLimits, rpmLimit, tpmLimit: 10_000, maxParallelRequests: 100, maxBudgetNanoUsd: 1_000_000 };
    const scope = { scopeId: 'key:one', revision: 1, anchorMs: 0, rateLimitEnabled: true, limits } as const;
    const plan = createPlan([scope], 'gpt-4o', Date.now());
    const request = (holdId: string, tokens = 10): AdmitRequest => ({
      holdId,
      plan,
      mintedAtMs: Date.now(),
      amounts: { tokens, costNanoUsd: 100 },
      subject: { keyId: 'one', ownerId: null, teamId: null, model: 'gpt-4o', endpoint: null },
      notAfterMs: null,
      leaseMs: 60_000,
      onAbandoned: 'charge',
      trace: null,
    });
    const unseeded = await store.admit(request('unseeded'));
    if (unseeded.outcome !== 'unseeded') assert.fail(unseeded.outcome);
    for (const { scopeId, nonce } of unseeded.scopes) await store.seed(scopeId, nonce, 1, []);
    assert.equal((await store.admit(request('first'))).outcome, 'admitted');
    return request;
  }

  async function scriptsRunBy(act: () => Promise<unknown>): Promise<number> {
    await client.config('RESETSTAT');
    await act();
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0);
  }

  const ids = (count: number) => Array.from({ length: count }, (_, at) => `call-${at}`);

  it('are admitted by one script, each with what was left after it', async () => {
    const request = await caller(1000);
    const admitAll = () => Promise.all(ids(32).map((id, at) => store.admit(request(id, at))));
    await admitAll();
    let verdicts: readonly AdmitVerdict[] = [];
    const again = ids(32).map((id) => `again ${id}`);
    const scripts = await scriptsRunBy(async () => {
      verdicts = await Promise.all(again.map((id, at) => store.admit(request(id, at))));
    });
    assert.equal(scripts, 1);
    let tokens = 10_000 - 10 - 496;
    for (const [at, verdict] of verdicts.entries()) {
      if (verdict.outcome !== 'admitted') assert.fail(verdict.outcome);
      tokens -= at;
      const used = 33 + at + 1;
      assert.deepEqual(verdict.remaining, [1000 - used, tokens, 100 - used, 1_000_000 - 100 * used]);
      assert.deepEqual(verdict.hold.amounts, { tokens: at, costNanoUsd: 100 });
    }
    const [balance] = await store.balances(['key:one']);
    assert.equal(balance?.openHolds, 65);
    const used = new Map(balance?.windows.map((window) => [window.id, window.used]));
    assert.deepEqual([used.get('rpm'), used.get('tpm')], [65, 10 + 496 * 2]);
  });

  it('are admitted as far as they fit, in their order, where not all do', async () => {
    const request = await caller(21);
    const verdicts = await Promise.all(ids(30).map((id) => store.admit(request(id))));
    assert.deepEqual(
      verdicts.map(({ outcome }) => outcome),
      ids(30).map((_, at) => (at < 20 ? 'admitted' : 'refused')),
    );
  });

  it('have one verdict and are charged once, where they have one id', async () => {
    const request = await caller(100);
    const verdicts = await Promise.all(['a', 'b', 'a', 'a'].map((id) => store.admit(request(id))));
    assert.deepEqual(verdicts[2], verdicts[0]);
    assert.deepEqual(verdicts[3], verdicts[0]);
    assert.equal((await store.balances(['key:one']))[0]?.openHolds, 3);
    await Promise.all(['a', 'c'].map((id) => store.admit(request(id))));
    assert.equal((await store.balances(['key:one']))[0]?.openHolds, 4);
  });

  it('end one by one, like all others', async () => {
    const request = await caller(100);
    const verdicts = await Promise.all(ids(5).map((id) => store.admit(request(id))));
    for (const verdict of verdicts) {
      if (verdict.outcome !== 'admitted') assert.fail(verdict.outcome);
      assert.deepEqual(await store.cancel(verdict.hold), { state: 'cancelled' });
      assert.deepEqual(await store.cancel(verdict.hold), { state: 'already' });
    }
    const [balance] = await store.balances(['key:one']);
    assert.equal(balance?.openHolds, 1);
    assert.deepEqual(
      balance?.budgets.map(({ heldNanoUsd }) => heldNanoUsd),
      [100],
    );
  });
});
