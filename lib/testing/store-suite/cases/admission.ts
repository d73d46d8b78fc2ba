import assert from 'node:assert/strict';
import type { Limits } from '../../../limits/limit.ts';
import { createKnownCaller, keyScope, keyWith, limited, namedRefusal, type Wish } from '../caller.ts';
import { concurrently, holdsOf } from '../concurrent.ts';
import { nothingCounted, standingOf } from '../standing.ts';
import { type StoreCase, storeCase } from '../store-case.ts';

const kinds: readonly { readonly name: string; readonly limits: Partial<Limits>; readonly wish?: Wish }[] = [
  { name: 'ten requests a minute', limits: { rpmLimit: 10 } },
  { name: 'ten requests a day', limits: { rpdLimit: 10 } },
  { name: 'tokens for ten a minute', limits: { tpmLimit: 509 }, wish: { tokens: 50 } },
  { name: 'tokens for ten a day', limits: { tpdLimit: 509 }, wish: { tokens: 50 } },
  { name: 'ten calls at once', limits: { maxParallelRequests: 10 } },
  { name: 'money for ten', limits: { maxBudgetNanoUsd: 1_099_999_999 }, wish: { costUsd: 0.1 } },
];

const concurrentCases = kinds.map(({ name, limits, wish = {} }) =>
  storeCase('ledger', `of 15 concurrent calls ten are admitted under a limit of ${name}`, async (session) => {
    const caller = await createKnownCaller(session, keyWith(limits));
    const verdicts = await concurrently(15, () => caller.admit(wish));
    assert.equal(holdsOf(verdicts).length, 10);
    assert.equal(verdicts.filter(({ outcome }) => outcome === 'refused').length, 5);
  }),
);

export const admissionCases: readonly StoreCase[] = [
  ...concurrentCases,

  storeCase('ledger', 'of 1,000 concurrent calls of $0.10 exactly 50 are admitted under $5.00', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: 5_000_000_000 }));
    const verdicts = await concurrently(1000, () => caller.admit({ costUsd: 0.1 }));
    assert.equal(holdsOf(verdicts).length, 50);
    assert.deepEqual((await standingOf(session.store, keyScope)).budgets, { main: { spent: 0, held: 5 } });
  }),

  storeCase(
    'ledger',
    'of ten calls that hold $0.30 three fit under $1.00, and the others hold nothing',
    async (session) => {
      const caller = await createKnownCaller(session, keyWith({ maxBudgetNanoUsd: 1_000_000_000, tpmLimit: 1000 }));
      const verdicts = await concurrently(10, () => caller.admit({ costUsd: 0.3, tokens: 7 }));
      assert.equal(holdsOf(verdicts).length, 3);
      const standing = { openHolds: 3, windows: { tpm: 21 }, budgets: { main: { spent: 0, held: 0.9 } } };
      assert.deepEqual(await standingOf(session.store, keyScope), standing);
    },
  ),

  storeCase('ledger', 'tokens are admitted up to the last one', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 500 }));
    await caller.settle(await caller.hold({ tokens: 400 }), { inputTokens: 300, outputTokens: 100 });
    assert.equal((await caller.admit({ tokens: 200 })).outcome, 'refused');
    assert.equal((await caller.admit({ tokens: 101 })).outcome, 'refused');
    assert.deepEqual((await caller.admitted({ tokens: 100 })).remaining, [0, Infinity, Infinity]);
    assert.deepEqual((await standingOf(session.store, keyScope)).windows, { tpm: 500 });
  }),

  storeCase('ledger', 'an admission tells what is left of each limit, in the order of the plan', async (session) => {
    const limits = { rpmLimit: 3, tpmLimit: 100, maxParallelRequests: 2, maxBudgetNanoUsd: 1_000_000_000 };
    const caller = await createKnownCaller(session, keyWith(limits), limited('team:red', { rpdLimit: 5 }));
    const ids = caller.plan().limits.map(({ scopeId, id }) => `${scopeId}/${id}`);
    assert.deepEqual(ids, [
      `${keyScope}/rpm`,
      `${keyScope}/tpm`,
      `${keyScope}/parallel`,
      `${keyScope}/main`,
      'team:red/rpd',
    ]);
    assert.deepEqual((await caller.admitted({ tokens: 30, costUsd: 0.25 })).remaining, [2, 70, 1, 750_000_000, 4]);
    const refused = await caller.admit({ tokens: 90, costUsd: 0.5 });
    assert.equal(refused.outcome, 'refused');
    if (refused.outcome === 'refused') assert.deepEqual(refused.remaining, [2, 70, 1, 750_000_000, 4]);
  }),

  storeCase('ledger', "a team's refusal leaves everything of the key as it was", async (session) => {
    const { store } = session;
    const key = keyWith({
      rpmLimit: 10,
      rpdLimit: 10,
      tpmLimit: 1000,
      tpdLimit: 1000,
      maxParallelRequests: 10,
      maxBudgetNanoUsd: 10_000_000_000,
      budgets: [{ maxBudgetNanoUsd: 10_000_000_000, budgetDuration: 'daily' }],
      modelLimits: [{ model: 'gpt-4o', rpmLimit: 10, tpmLimit: 1000, maxBudget: null }],
    });
    const caller = await createKnownCaller(session, key, limited('team:red', { rpmLimit: 1 }), limited('global'));
    await caller.hold({ tokens: 10, costUsd: 1 });
    const before = await store.balances([keyScope, 'team:red', 'global']);
    const { by } = await caller.refused({ tokens: 10, costUsd: 1 });
    assert.equal(by, 'team:red/rpm');
    assert.deepEqual(await store.balances([keyScope, 'team:red', 'global']), before);
  }),

  storeCase('ledger', 'all scopes over a key are decided together, and the tightest refuses', async (session) => {
    const caller = await createKnownCaller(
      session,
      keyWith({ rpmLimit: 9 }),
      limited('user:ann', { tpmLimit: 100 }),
      limited('team:red', { maxBudgetNanoUsd: 1_000_000_000 }),
      limited('global', { maxParallelRequests: 2 }),
    );
    await caller.hold({ tokens: 60, costUsd: 0.6 });
    assert.equal((await caller.refused({ tokens: 60 })).by, 'user:ann/tpm');
    assert.equal((await caller.refused({ costUsd: 0.6 })).by, 'team:red/main');
    await caller.hold();
    assert.equal((await caller.refused()).by, 'global/parallel');
    const team = await standingOf(session.store, 'team:red');
    assert.deepEqual(team, { ...nothingCounted, budgets: { main: { spent: 0, held: 0.6 } } });
  }),

  storeCase('ledger', 'a scope that two keys share is counted once for both', async (session) => {
    const team = limited('team:red', { rpmLimit: 3 });
    const ann = await createKnownCaller(session, keyWith({ rpmLimit: 2 }), team);
    const other = ann.under(limited('key:other', { rpmLimit: 2 }), team);
    const unseeded = await other.admit();
    if (unseeded.outcome !== 'unseeded') assert.fail(unseeded.outcome);
    for (const { scopeId, nonce } of unseeded.scopes) await session.store.seed(scopeId, nonce, 1, []);
    await ann.hold();
    await ann.hold();
    await other.hold();
    assert.equal((await other.refused()).by, 'team:red/rpm');
  }),

  storeCase('ledger', 'the limit with the longest wait names the refusal', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 1, rpdLimit: 1, maxParallelRequests: 1 }));
    await caller.hold();
    const { by, retryAfterMs } = await caller.refused();
    assert.equal(by, `${keyScope}/rpd`);
    assert.equal(retryAfterMs, 61 * 24 * 60_000);
  }),

  storeCase('ledger', 'limits per model count the models they match, each its own', async (session) => {
    const modelLimits = [
      { model: 'gpt-4o', rpmLimit: 5, tpmLimit: null, maxBudget: null },
      { model: 'gpt-*', rpmLimit: null, tpmLimit: 100, maxBudget: null },
      { model: 'o1', rpmLimit: null, tpmLimit: null, maxBudget: { maxBudgetNanoUsd: 10, budgetDuration: 'daily' } },
    ];
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 20, modelLimits }));
    for (let call = 0; call < 5; call += 1) await caller.hold({ model: 'gpt-4o', tokens: 10 });
    assert.equal((await caller.refused({ model: 'gpt-4o' })).by, `${keyScope}/rpm/gpt-4o`);
    assert.equal((await caller.refused({ model: 'gpt-3', tokens: 51 })).by, `${keyScope}/tpm/gpt-*`);
    await caller.hold({ model: 'gpt-3', tokens: 50 });
    const o1 = caller.admitRequest({ model: 'o1' });
    const dear = await session.store.admit({ ...o1, amounts: { tokens: 1, costNanoUsd: 11 } });
    assert.deepEqual(namedRefusal(dear, o1.plan), {
      outcome: 'refused',
      by: `${keyScope}/budget/o1`,
      retryAfterMs: null,
    });
    await caller.hold({ model: 'claude-sonnet-4', tokens: 1000 });
  }),

  storeCase('ledger', 'several scopes may limit one model', async (session) => {
    const forModel = (rpmLimit: number) => ({
      modelLimits: [{ model: 'gpt-4o', rpmLimit, tpmLimit: null, maxBudget: null }],
    });
    const caller = await createKnownCaller(
      session,
      keyWith(forModel(3)),
      limited('user:ann', forModel(2)),
      limited('team:red', { rpmLimit: 4 }),
    );
    await caller.hold();
    await caller.hold();
    assert.equal((await caller.refused()).by, 'user:ann/rpm/gpt-4o');
    await caller.hold({ model: 'gpt-3' });
    assert.deepEqual((await standingOf(session.store, keyScope)).windows, { 'rpm/gpt-4o': 2 });
    assert.deepEqual((await standingOf(session.store, 'team:red')).windows, { rpm: 3 });
  }),

  storeCase('ledger', 'more tokens than one request may have never fit, whatever is free', async (session) => {
    const caller = await createKnownCaller(
      session,
      keyWith({ tpmLimit: 10_000, maxTokensPerRequest: 200 }),
      limited('team:red', { maxTokensPerRequest: 100 }),
    );
    assert.deepEqual(await caller.refused({ tokens: 101 }), {
      outcome: 'refused',
      by: 'max_tokens',
      retryAfterMs: null,
    });
    await caller.hold({ tokens: 100 });
    assert.equal((await caller.refused({ tokens: 10_001 })).retryAfterMs, null);
  }),

  storeCase('ledger', 'a call above a whole limit never fits', async (session) => {
    const tokens = await createKnownCaller(session, keyWith({ tpmLimit: 100 }));
    assert.deepEqual(await tokens.refused({ tokens: 101 }), {
      outcome: 'refused',
      by: `${keyScope}/tpm`,
      retryAfterMs: null,
    });
  }),

  storeCase(
    'ledger',
    'a call without a model takes a request and a slot, neither tokens nor money',
    async (session) => {
      const limits = { rpmLimit: 1, tpmLimit: 0, tpdLimit: 0, maxBudgetNanoUsd: 0, maxTokensPerRequest: 0 };
      const caller = await createKnownCaller(session, keyWith(limits));
      await caller.hold({ model: null });
      assert.deepEqual(await standingOf(session.store, keyScope), {
        ...nothingCounted,
        openHolds: 1,
        windows: { rpm: 1 },
      });
      assert.equal((await caller.refused({ model: null })).by, `${keyScope}/rpm`);
    },
  ),
];
