import assert from 'node:assert/strict';
import { admittedUntilMs } from '../../../lib/ledger/admitting.ts';
import type { LimitedScope } from '../../../lib/limits/plan.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { type Caller, createCaller, keyWith, type Wish } from '../../../lib/testing/store-suite/caller.ts';
import { createTestClock } from '../../../lib/testing/store-suite/test-clock.ts';

describe('admittedUntilMs', () => {
  const clock = { ...createTestClock(), now: () => Date.UTC(2026, 0, 31, 23, 30, 0, 250) };
  const under = (scope: LimitedScope) => createCaller({ store: memoryStore(), clock, notices: [] }, scope);
  const lasts = (caller: Caller, wish?: Wish) => admittedUntilMs(caller.admitRequest(wish), clock.now()) - clock.now();

  it('ends with the cell of the shortest window', () => {
    assert.equal(lasts(under(keyWith({ rpmLimit: 1, tpdLimit: 1 }))), 750);
    assert.equal(lasts(under(keyWith({ tpdLimit: 1, maxBudgetNanoUsd: 1 }))), 300_001);
  });

  it('ends with the period of a budget', () => {
    const wish = { mintedAtMs: clock.now() + 3_600_000 };
    assert.equal(lasts(under(keyWith({ maxBudgetNanoUsd: 1, budgetDuration: 'monthly' })), wish), 1_799_750);
  });

  it('ends with the key, and with the age that an admission may have', () => {
    assert.equal(lasts(under(keyWith()), { notAfterMs: clock.now() + 5 }), 5);
    assert.equal(lasts(under(keyWith()), { mintedAtMs: clock.now() - 299_000 }), 1001);
  });
});
