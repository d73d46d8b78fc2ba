import assert from 'node:assert/strict';
import type { Limits } from '../../../limits/limit.ts';
import type { Clamp } from '../../../stores/store.ts';
import { createKnownCaller, keyScope, keyWith, limited } from '../caller.ts';
import { standingOf } from '../standing.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';

/** $0.000002 for each output token, and $0.0001 for the input. */
const clamp: Clamp = {
  inputTokens: 100,
  inputCostNanoUsd: 100_000,
  outputPicoUsdPerToken: 2_000_000,
  minOutputTokens: 50,
  maxOutputTokens: 1000,
};
const most = { tokens: 1100, costUsd: 0.0021, clamp };

async function grantedUnder(session: Session, ...scopes: readonly Partial<Limits>[]): Promise<number | null> {
  const [key = {}, ...others] = scopes;
  const policies = others.map((limits, index) => limited(`team:${index}`, limits));
  const caller = await createKnownCaller(session, keyWith(key), ...policies);
  return (await caller.admitted(most)).outputTokens;
}

const granted: readonly {
  readonly under: string;
  readonly limits: readonly Partial<Limits>[];
  readonly tokens: number;
}[] = [
  { under: 'no limit', limits: [{}], tokens: 1000 },
  { under: 'tokens for all of it', limits: [{ tpmLimit: 1100 }], tokens: 1000 },
  { under: 'fewer tokens a minute', limits: [{ tpmLimit: 400 }], tokens: 300 },
  { under: 'fewer tokens a day', limits: [{ tpdLimit: 1099 }], tokens: 999 },
  { under: 'fewer tokens a request', limits: [{ maxTokensPerRequest: 160 }], tokens: 60 },
  { under: 'less money', limits: [{ maxBudgetNanoUsd: 1_101_999 }], tokens: 500 },
  { under: 'the least that is asked for', limits: [{ tpmLimit: 150 }], tokens: 50 },
  {
    under: 'the tightest of all scopes',
    limits: [{ tpmLimit: 900 }, { tpmLimit: 500 }, { tpdLimit: 700 }],
    tokens: 400,
  },
];

export const clampingCases: readonly StoreCase[] = [
  ...granted.map(({ under, limits, tokens }) =>
    storeCase('ledger', `a clamped call gets ${tokens} of 1000 output tokens under ${under}`, async (session) => {
      assert.equal(await grantedUnder(session, ...limits), tokens);
    }),
  ),

  storeCase('ledger', 'a clamped call takes what it was granted, and no more', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 400, maxBudgetNanoUsd: 1_000_000_000 }));
    const { hold, remaining } = await caller.admitted(most);
    assert.deepEqual(hold.amounts, { tokens: 400, costNanoUsd: 700_000 });
    assert.deepEqual(remaining, [0, Infinity, 999_300_000]);
    const { windows, budgets } = await standingOf(session.store, keyScope);
    assert.deepEqual([windows, budgets], [{ tpm: 400 }, { main: { spent: 0, held: 0.0007 } }]);
    await caller.settle(hold, { inputTokens: 100, outputTokens: 20, costUsd: 0.00014 });
    assert.deepEqual((await standingOf(session.store, keyScope)).windows, { tpm: 120 });
  }),

  storeCase('ledger', 'a clamped call is refused where not even the least fits', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 300 }));
    await caller.hold({ tokens: 151 });
    const refusal = await caller.refused(most);
    assert.deepEqual(refusal, { outcome: 'refused', by: `${keyScope}/tpm`, retryAfterMs: 61_000 });
    session.clock.advance(61_000);
    assert.equal((await caller.admitted(most)).outputTokens, 200);
  }),

  storeCase('ledger', 'concurrent clamped calls share what is left, and never pass it', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 2000 }));
    const verdicts = await Promise.all([caller.admit(most), caller.admit(most), caller.admit(most)]);
    const tokens = verdicts.map((verdict) => (verdict.outcome === 'admitted' ? verdict.outputTokens : verdict.outcome));
    assert.deepEqual(tokens.sort(), [1000, 800, 'refused']);
  }),

  storeCase('ledger', 'an output without a price is not clamped by money', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: 100_000 }));
    const free = { ...clamp, outputPicoUsdPerToken: 0 };
    assert.equal((await caller.admitted({ ...most, clamp: free })).outputTokens, 1000);
  }),

  storeCase('ledger', 'a repeated clamped admission is granted the same', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 1500 }));
    const request = caller.admitRequest(most);
    const first = await session.store.admit(request);
    await caller.hold({ tokens: 300 });
    const again = await session.store.admit(request);
    if (first.outcome !== 'admitted' || again.outcome !== 'admitted') assert.fail('not admitted');
    assert.deepEqual([again.hold, again.outputTokens], [first.hold, first.outputTokens]);
  }),

  storeCase(
    'ledger',
    'a clamped call whose grant nobody heard of is cancelled by what was asked for',
    async (session) => {
      const { store } = session;
      const caller = await createKnownCaller(session, keyWith({ tpmLimit: 2000, maxBudgetNanoUsd: 1_000_000_000 }));
      const request = caller.admitRequest(most);
      const verdict = await store.admit(request);
      if (verdict.outcome !== 'admitted') assert.fail(verdict.outcome);
      await caller.hold({ tokens: 300, costUsd: 0.5 });
      const smaller = await caller.hold(most);
      assert.ok(smaller.amounts.tokens < request.amounts.tokens);
      for (const hold of [verdict.hold, smaller]) await store.cancel({ ...hold, amounts: request.amounts });
      const { windows, budgets } = await standingOf(store, keyScope);
      assert.deepEqual([windows, budgets], [{ tpm: 300 }, { main: { spent: 0, held: 0.5 } }]);
    },
  ),
];
