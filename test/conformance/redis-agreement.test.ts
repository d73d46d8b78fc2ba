import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Cluster, Redis } from 'ioredis';
import { noLimits } from '../../lib/limits/limit.ts';
import { createPlan, type LimitedScope } from '../../lib/limits/plan.ts';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import type { RedisClient } from '../../lib/stores/redis/client.ts';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import type { AdmitVerdict, BudgetBalance, Hold, Store } from '../../lib/stores/store.ts';
import { newPrefix } from '../support/services/random-name.ts';
import { redisCluster } from '../support/services/redis-cluster.ts';
import { redisServer } from '../support/services/redis-server.ts';

const scopes: readonly LimitedScope[] = [
  {
    scopeId: 'key:one',
    revision: 1,
    anchorMs: 0,
    rateLimitEnabled: true,
    limits: {
      ...noLimits,
      rpmLimit: 8,
      tpmLimit: 300,
      tpdLimit: 2000,
      maxParallelRequests: 4,
      maxBudgetNanoUsd: 900,
      budgetDuration: '1h',
      // Two of one name, which count as one.
      modelLimits: [
        { model: 'o*', rpmLimit: 3, tpmLimit: 100, maxBudget: null },
        { model: 'o*', rpmLimit: null, tpmLimit: 200, maxBudget: null },
      ],
    },
  },
  {
    scopeId: 'team:red',
    revision: 1,
    anchorMs: 0,
    rateLimitEnabled: true,
    limits: { ...noLimits, rpdLimit: 60, maxTokensPerRequest: 150, maxBudgetNanoUsd: 3000 },
  },
  {
    scopeId: 'user:ann',
    revision: 1,
    anchorMs: 0,
    rateLimitEnabled: true,
    limits: { ...noLimits, tpmLimit: 400, maxParallelRequests: 6 },
  },
  {
    scopeId: 'user:bob',
    revision: 1,
    anchorMs: 0,
    rateLimitEnabled: true,
    limits: noLimits,
  },
];

const amount = fc.integer({ min: 0, max: 160 });
const model = fc.constantFrom('gpt-4o', 'o1', null);
const which = fc.nat(9);
const clamp = fc.option(fc.record({ output: fc.integer({ min: 1, max: 120 }), price: fc.nat(4000) }), {
  nil: undefined,
});
const step = fc.oneof(
  fc.record({ act: fc.constant('admit' as const), tokens: amount, cost: amount, model, clamp, release: fc.boolean() }),
  fc.record({ act: fc.constant('burst' as const), calls: fc.nat(7), tokens: amount, cost: amount, model }),
  fc.record({
    act: fc.constant('extend' as const),
    which,
    tokens: amount,
    cost: amount,
    model,
    replaces: fc.boolean(),
  }),
  fc.record({ act: fc.constant('settle' as const), which, tokens: amount, cost: amount }),
  fc.record({ act: fc.constant('cancel' as const), which }),
  fc.record({ act: fc.constant('lose' as const), which, cost: amount }),
  fc.record({ act: fc.constant('renew' as const), which }),
  fc.record({ act: fc.constant('reset' as const) }),
  fc.record({ act: fc.constant('wait' as const), ms: fc.constantFrom(1, 700, 5000, 31_000, 61_000, 1_900_000) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** A counter under which nothing is left may be there or not. */
function isUsed({ spentNanoUsd, heldNanoUsd }: BudgetBalance): boolean {
  return spentNanoUsd !== 0 || heldNanoUsd !== 0;
}

interface PlayOptions {
  /** Whether the calls of a burst are asked for at once. */
  readonly burstsAtOnce: boolean;
}

/** One store in a history: the same steps have the same answers, apart from where holds live. */
async function play(store: Store, steps: readonly Step[], { burstsAtOnce }: PlayOptions): Promise<readonly unknown[]> {
  let nowMs = Date.UTC(2026, 0, 15, 12);
  const told: unknown[] = [];
  const close = store.open({
    clock: () => nowMs,
    logger: { warn: () => undefined, error: () => undefined },
    // Whether changes of other processes may have been missed is a matter of connections.
    onNotice: (notice) => {
      if (notice.type === 'abandoned' || notice.type === 'clock_jump') told.push(notice);
    },
  });
  const holds: Hold[] = [];
  const keep = (verdict: AdmitVerdict) => {
    if (verdict.outcome !== 'admitted') return verdict;
    holds.unshift(verdict.hold);
    return { ...verdict, hold: { ...verdict.hold, home: '' } };
  };
  const common = (asked: { readonly model: string | null; readonly tokens: number; readonly cost: number }) => ({
    mintedAtMs: nowMs,
    plan: createPlan(scopes, asked.model, nowMs),
    amounts: { tokens: asked.tokens, costNanoUsd: asked.cost },
    subject: { keyId: 'one', ownerId: null, teamId: 'red', model: asked.model, endpoint: null },
    notAfterMs: null,
    onAbandoned: 'charge' as const,
    trace: null,
  });
  const leaseMs = 120_000;

  const unseeded = await store.admit({ ...common({ model: null, tokens: 0, cost: 0 }), holdId: 'first', leaseMs });
  if (unseeded.outcome !== 'unseeded') assert.fail(unseeded.outcome);
  for (const { scopeId, nonce } of unseeded.scopes) await store.seed(scopeId, nonce, 1, []);

  for (const [index, now] of steps.entries()) {
    told.push(await store.sweep(100));
    const hold = 'which' in now ? holds[now.which] : undefined;
    const usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
    if (now.act === 'wait') nowMs += now.ms;
    else if (now.act === 'reset') {
      const budgets = [{ budgetId: 'main', periodStartMs: Math.floor(nowMs / 3_600_000) * 3_600_000 }];
      const { subject } = common({ model: null, tokens: 0, cost: 0 });
      const audit = { id: `${index}`, actor: { id: 'a' }, action: 'x', target: 'x', before: 0, after: 0, reason: null };
      told.push(await store.adjust({ id: `reset-${index}`, scopeId: 'key:one', budgets, subject, audit }));
    } else if (now.act === 'admit') {
      const { output, price } = now.clamp ?? { output: 0, price: 0 };
      const clamped = now.clamp && {
        inputTokens: now.tokens,
        inputCostNanoUsd: now.cost,
        outputPicoUsdPerToken: price,
        minOutputTokens: 10,
        maxOutputTokens: output,
      };
      const onAbandoned = now.release ? ('release' as const) : ('charge' as const);
      const request = { ...common(now), holdId: `hold-${index}`, leaseMs, clamp: clamped, onAbandoned };
      told.push(keep(await store.admit(request)));
    } else if (now.act === 'burst') {
      const shared = common(now);
      const ids = Array.from({ length: now.calls }, (_, at) => `burst-${index}-${at}`);
      const admit = (holdId: string) => store.admit({ ...shared, holdId, leaseMs });
      const verdicts: AdmitVerdict[] = [];
      if (burstsAtOnce) verdicts.push(...(await Promise.all(ids.map(admit))));
      else for (const id of ids) verdicts.push(await admit(id));
      told.push(verdicts.map(keep));
    } else if (hold !== undefined) {
      if (now.act === 'cancel') told.push(await store.cancel(hold));
      else if (now.act === 'renew') told.push(await store.renew(hold));
      else if (now.act === 'extend') {
        const further = { ...common(now), hold, callId: `call-${index}`, replacesFirst: now.replaces };
        told.push(keep(await store.extend(further)));
      } else {
        const lost = now.act === 'lose' ? { ...hold, callId: 'lost' } : hold;
        const outputTokens = 'tokens' in now ? now.tokens : 1;
        const settled = { hold: lost, usage: { ...usage, outputTokens }, costNanoUsd: now.cost, model: null };
        told.push(await store.settle({ ...settled, source: 'reported' }));
      }
    }
    for (const balance of await store.balances(scopes.map(({ scopeId }) => scopeId))) {
      const windows = balance.windows.filter(({ used }) => used !== 0).sort((a, b) => (a.id < b.id ? -1 : 1));
      told.push({
        ...balance,
        windows,
        budgets: balance.budgets.filter(isUsed).sort((a, b) => a.periodStartMs - b.periodStartMs),
      });
    }
  }
  told.push(await store.usage({ keyId: 'one', groupBy: ['model'] }), (await store.usageEvents(null, 1000)).events);
  close();
  return told;
}

/** Gives every answer that memory gives, in so many random histories. */
async function agreesWithMemory(client: RedisClient, options: PlayOptions & { readonly histories: number }) {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const store = redisStore({ client, prefix: newPrefix() });
      const answers = await play(store, steps, options);
      await store.close();
      assert.deepEqual(answers, await play(memoryStore(), steps, options));
    }),
    { numRuns: options.histories },
  );
}

describe('redisStore', () => {
  it('gives every answer that memory gives, in random histories', async () => {
    const client = new Redis((await redisServer()).url);
    try {
      await agreesWithMemory(client, { burstsAtOnce: true, histories: 100 });
    } finally {
      client.disconnect();
    }
  }).timeout(60_000);

  it('gives them on a Cluster, too, where the scopes of a call are in several slots', async () => {
    const cluster = await redisCluster();
    const client = new Cluster([...cluster.nodes]);
    try {
      // At once, what is about to be given back may stand in the way.
      await agreesWithMemory(client, { burstsAtOnce: false, histories: 60 });
    } finally {
      client.disconnect();
      await cluster.stop();
    }
  }).timeout(300_000);
});
