import assert from 'node:assert/strict';
import { createCaller, keyScope, keyWith, limited } from '../caller.ts';
import { standingOf } from '../standing.ts';
import { type StoreCase, storeCase } from '../store-case.ts';
import { dayMs } from '../test-clock.ts';

const limits = { maxBudgetNanoUsd: 1_000_000_000, budgetDuration: 'daily' };

export const seedingCases: readonly StoreCase[] = [
  storeCase('ledger', 'an unknown scope admits nothing, and names itself with a nonce', async (session) => {
    const caller = createCaller(session, keyWith(limits), limited('team:red'), limited('global', {}, { revision: 0 }));
    const verdict = await caller.admit({ costUsd: 0.1 });
    if (verdict.outcome !== 'unseeded') assert.fail(verdict.outcome);
    assert.deepEqual(
      verdict.scopes.map(({ scopeId }) => scopeId),
      [keyScope, 'team:red'],
    );
    for (const { nonce } of verdict.scopes) assert.ok(nonce.length >= 16, 'a nonce that may be guessed');
    assert.deepEqual(await session.store.balances([keyScope, 'team:red']), []);
  }),

  storeCase('ledger', 'a seeded scope opens with what was spent, and admits the rest', async (session) => {
    const { store, clock } = session;
    const caller = createCaller(session, keyWith(limits));
    const verdict = await caller.admit();
    const nonce = verdict.outcome === 'unseeded' ? (verdict.scopes[0]?.nonce ?? '') : '';
    const periodStartMs = Math.floor(clock.now() / dayMs) * dayMs;
    const periodEndMs = periodStartMs + dayMs;
    const opening = { budgetId: 'main', from: null, periodStartMs, periodEndMs, openingNanoUsd: 700_000_000 };
    assert.deepEqual(await store.seed(keyScope, nonce, 1, [opening]), { state: 'seeded' });
    assert.equal((await caller.admit({ costUsd: 0.4 })).outcome, 'refused');
    await caller.hold({ costUsd: 0.3 });
    assert.deepEqual((await standingOf(store, keyScope)).budgets, {
      'main from 2026-01-15': { spent: 0.7, held: 0.3 },
    });
    const [balance] = await store.balances([keyScope]);
    assert.equal(balance?.revision, 1);
  }),

  storeCase('ledger', 'a seed with another nonce, or of a known scope, is superseded', async (session) => {
    const { store } = session;
    const caller = createCaller(session, keyWith(limits));
    const superseded = { state: 'superseded' };
    assert.deepEqual(await store.seed(keyScope, 'guessed', 1, []), superseded);
    const verdict = await caller.admit();
    const nonce = verdict.outcome === 'unseeded' ? (verdict.scopes[0]?.nonce ?? '') : '';
    assert.deepEqual(await store.seed('team:red', nonce, 1, []), superseded);
    assert.deepEqual(await store.seed(keyScope, `${nonce}x`, 1, []), superseded);
    assert.equal((await caller.admit()).outcome, 'unseeded');
    assert.deepEqual(await store.seed(keyScope, nonce, 1, []), { state: 'seeded' });
    const hold = await caller.hold({ costUsd: 0.5 });
    assert.deepEqual(await store.seed(keyScope, nonce, 9, []), superseded);
    await caller.settle(hold, { costUsd: 0.5 });
    assert.deepEqual((await standingOf(store, keyScope)).budgets, { 'main from 2026-01-15': { spent: 0.5, held: 0 } });
  }),

  storeCase('ledger', 'callers that find a scope unknown at once may all seed it, and one does', async (session) => {
    const { store } = session;
    const caller = createCaller(session, keyWith(limits));
    const verdicts = await Promise.all([caller.admit(), caller.admit(), caller.admit()]);
    const states = [];
    for (const verdict of verdicts) {
      if (verdict.outcome !== 'unseeded') assert.fail(verdict.outcome);
      const [scope] = verdict.scopes;
      states.push((await store.seed(keyScope, scope?.nonce ?? '', 1, [])).state);
    }
    assert.equal(states.filter((state) => state === 'seeded').length, 1);
    await caller.hold();
  }),
];
