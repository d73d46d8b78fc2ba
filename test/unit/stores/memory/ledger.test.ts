import assert from 'node:assert/strict';
import fc from 'fast-check';
import { memoryStore } from '../../../../lib/stores/memory/memory-store.ts';
import type { Hold } from '../../../../lib/stores/store.ts';
import { createKnownCaller, keyScope, keyWith } from '../../../../lib/testing/store-suite/caller.ts';
import { standingOf } from '../../../../lib/testing/store-suite/standing.ts';
import { createTestClock } from '../../../../lib/testing/store-suite/test-clock.ts';
import { type NaiveHold, NaiveLedger, type NaiveLimits } from './naive-ledger.ts';

const leaseMs = 40_000;

const limits = fc.record({
  rpm: fc.constantFrom(0, 5, 20, 1000, 1000),
  tpm: fc.constantFrom(0, 30, 100, 1000, 1000),
  parallel: fc.constantFrom(0, 2, 5, 1000, 1000),
  daily: fc.constantFrom(0, 20, 50, 1000, 1000),
});

const amounts = { tokens: fc.nat(12), cost: fc.nat(6) };
const which = fc.nat(100);
const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('admit' as const), ...amounts }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('settle' as const), which, ...amounts }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('extend' as const), which, ...amounts, replacesFirst: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('renew' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sweep' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('limit' as const), limits }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.oneof(fc.nat(1500), fc.constantFrom(1, 999, 1000, 20_000, 40_000, 60_000, 61_000)),
    }),
  },
);

/** A call as both ledgers know it. */
interface Twin {
  readonly hold: Hold;
  readonly naive: NaiveHold;
}

function scopeWith({ rpm, tpm, parallel, daily }: NaiveLimits, revision: number) {
  const rates = { rpmLimit: rpm, tpmLimit: tpm, maxParallelRequests: parallel };
  return keyWith({ ...rates, maxBudgetNanoUsd: daily, budgetDuration: 'daily' }, { revision });
}

describe('the ledger of memoryStore', () => {
  it('does in any history of acts what a ledger does that adds everything up anew', async () => {
    await fc.assert(
      fc.asyncProperty(
        limits,
        fc.array(act, { minLength: 20, maxLength: 80, size: 'max' }),
        async (firstLimits, acts) => {
          const store = memoryStore();
          // Ten minutes before midnight: many histories pass it.
          const clock = createTestClock(Date.UTC(2026, 0, 15, 23, 50));
          store.open({ clock: clock.now, logger: console, onNotice: () => undefined });
          const naive = new NaiveLedger(clock.now(), firstLimits, leaseMs);
          let revision = 1;
          let caller = await createKnownCaller({ store, clock, notices: [] }, scopeWith(firstLimits, revision));
          const twins: Twin[] = [];

          for (const [index, next] of acts.entries()) {
            const twin = 'which' in next ? twins[next.which % Math.max(1, twins.length)] : undefined;
            const costUsd = 'cost' in next ? next.cost / 1e9 : 0;
            switch (next.kind) {
              case 'wait':
                clock.advance(next.ms);
                naive.nowMs = clock.now();
                break;
              case 'limit':
                revision += 1;
                naive.limits = next.limits;
                caller = caller.under(scopeWith(next.limits, revision));
                break;
              case 'sweep':
                await store.sweep(1000);
                naive.sweep();
                break;
              case 'admit': {
                const verdict = await caller.admit({ tokens: next.tokens, costUsd, leaseMs });
                assert.equal(verdict.outcome, naive.admit(next.tokens, next.cost));
                const opened = naive.holds.at(-1);
                if (verdict.outcome === 'admitted' && opened) twins.push({ hold: verdict.hold, naive: opened });
                break;
              }
              case 'extend': {
                if (twin === undefined) break;
                const { tokens, cost, replacesFirst } = next;
                const callId = `call-${index}`;
                const verdict = await caller.extend(twin.hold, { tokens, costUsd, replacesFirst, callId });
                assert.equal(verdict.outcome, naive.extend(twin.naive, callId, tokens, cost, replacesFirst));
                if (verdict.outcome === 'admitted') twins.push({ hold: verdict.hold, naive: twin.naive });
                break;
              }
              case 'settle': {
                if (twin === undefined) break;
                const { state } = await caller.settle(twin.hold, { outputTokens: next.tokens, costUsd });
                assert.equal(state, naive.settle(twin.naive, twin.hold.callId, next.tokens, next.cost));
                break;
              }
              case 'cancel':
                if (twin === undefined) break;
                assert.equal((await store.cancel(twin.hold)).state, naive.cancel(twin.naive, twin.hold.callId));
                break;
              case 'renew':
                if (twin === undefined) break;
                assert.equal((await store.renew(twin.hold)).state, naive.renew(twin.naive));
                break;
            }
            assert.deepEqual(await standingOf(store, keyScope), naive.standing());
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
