import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { type AdmissionPlan, noLimits } from '../../../lib/limits/limit.ts';
import { createPlan } from '../../../lib/limits/plan.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import type { AdmitRequest, AdmitVerdict, Store } from '../../../lib/stores/store.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { ownRedisServer, type RedisServer } from '../../support/services/redis-server.ts';

describe('redisStore: calls of one tick', () => {
  let server: RedisServer;
  let client: Redis;
  let store: Store;
  let prefix: string;

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
    prefix = newPrefix();
    store = redisStore({ client, prefix });
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

  describe('under several plans', () => {
    const limits = { ...noLimits, rpmLimit: 100, tpmLimit: 10_000 };
    const keyScope = { scopeId: 'key:one', revision: 1, anchorMs: 0, rateLimitEnabled: true, limits } as const;
    const teamScope = { ...keyScope, scopeId: 'team:all', limits: { ...noLimits, rpmLimit: 7 } } as const;
    const ofKey = createPlan([keyScope], 'gpt-4o', Date.now());
    const ofTeam = createPlan([keyScope, teamScope], 'gpt-4o', Date.now());
    const requestUnder = (plan: AdmissionPlan, request: AdmitRequest): AdmitRequest => ({ ...request, plan });

    async function callers() {
      const request = await caller(100);
      const unseeded = await store.admit(requestUnder(ofTeam, request('unseeded of team')));
      if (unseeded.outcome !== 'unseeded') assert.fail(unseeded.outcome);
      for (const { scopeId, nonce } of unseeded.scopes) await store.seed(scopeId, nonce, 1, []);
      assert.equal((await store.admit(requestUnder(ofTeam, request('first of team')))).outcome, 'admitted');
      const plans = [ofKey, ofTeam];
      return () =>
        Promise.allSettled(ids(10).map((id, at) => store.admit(requestUnder(plans[at % 2] ?? ofKey, request(id)))));
    }

    async function teamKey(): Promise<string> {
      const [key] = await client.keys(`${prefix}*s:team:all`);
      return key ?? assert.fail('The team has no counters');
    }

    const remainingOf = (settled: PromiseSettledResult<AdmitVerdict>) => {
      if (settled.status !== 'fulfilled' || settled.value.outcome !== 'admitted') assert.fail(JSON.stringify(settled));
      return settled.value.remaining.filter(Number.isFinite);
    };

    it('are admitted by one script, too', async () => {
      const admitAll = await callers();
      let verdicts: readonly PromiseSettledResult<AdmitVerdict>[] = [];
      const scripts = await scriptsRunBy(async () => {
        verdicts = await admitAll();
      });
      assert.equal(scripts, 1);
      assert.deepEqual(verdicts.map(remainingOf), [
        ...[0, 1, 2, 3, 4].flatMap((at) => [
          [97 - at, 9970 - 10 * at],
          [92 - at, 9920 - 10 * at, 5 - at],
        ]),
      ]);
    });

    it('are refused only under the plan of which not all fit', async () => {
      const admitAll = await callers();
      await client.hset(await teamKey(), 'v', 2);
      const settled = await admitAll();
      const outcomes = settled.map((one) => one.status === 'fulfilled' && one.value.outcome);
      assert.deepEqual(
        outcomes,
        ids(10).map((_, at) => (at % 2 === 0 ? 'admitted' : 'stale')),
      );
    });

    it('fail only under the plan whose counters are nonsense', async () => {
      const admitAll = await callers();
      await client.hset(await teamKey(), 'q:60000:rpm', 'nonsense');
      const settled = await admitAll();
      assert.deepEqual(
        settled.map(({ status }) => status),
        ids(10).map((_, at) => (at % 2 === 0 ? 'fulfilled' : 'rejected')),
      );
      assert.equal((await store.balances(['key:one']))[0]?.openHolds, 7);
    });
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
