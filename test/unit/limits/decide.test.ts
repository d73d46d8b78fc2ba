import assert from 'node:assert/strict';
import { createCounters, openBudget, type ScopeCounters } from '../../../lib/limits/counters.ts';
import { type Claim, type Decision, type Demand, decide, take } from '../../../lib/limits/decide.ts';
import type { AdmissionPlan, Limits } from '../../../lib/limits/limit.ts';
import { noLimits } from '../../../lib/limits/limit.ts';
import { createPlan } from '../../../lib/limits/plan.ts';
import { findCounters, type PlanCounters } from '../../../lib/limits/plan-counters.ts';

const nowMs = Date.UTC(2026, 0, 15, 12);
const dayMs = 86_400_000;
const opening: Claim = { slots: 1 };

function planFor(limits: Partial<Limits>, revision = 1): AdmissionPlan {
  const scope = { scopeId: 'key:a', limits: { ...noLimits, ...limits }, anchorMs: 0, rateLimitEnabled: true } as const;
  return createPlan([{ ...scope, revision }], 'gpt-4o', nowMs);
}

function countersFor({ scopes, takes }: AdmissionPlan, counters: ScopeCounters | undefined): PlanCounters {
  return findCounters(scopes, takes, () => counters);
}

function ask(plan: AdmissionPlan, counters: ScopeCounters | undefined, fields: Partial<Demand> = {}): Decision {
  const demand = { claim: opening, amounts: { tokens: 0, costNanoUsd: 0 }, notAfterMs: null, ...fields };
  return decide(plan, countersFor(plan, counters), demand, nowMs, () => assert.fail('the clock did not jump'));
}

/** Decides and takes. */
function admit(plan: AdmissionPlan, counters: ScopeCounters, tokens: number, costNanoUsd: number): void {
  const decision = ask(plan, counters, { amounts: { tokens, costNanoUsd } });
  if (decision.outcome !== 'fits') assert.fail(decision.outcome);
  take(plan, countersFor(plan, counters), opening, decision.amounts, decision.remaining, nowMs);
}

function refusalOf(decision: Decision): readonly [by: unknown, retryAfterMs: number | null] {
  if (decision.outcome !== 'refused') assert.fail(decision.outcome);
  return [decision.by, decision.retryAfterMs];
}

describe('decide', () => {
  it('takes nothing itself', () => {
    const plan = planFor({ rpmLimit: 5, tpmLimit: 5, maxBudgetNanoUsd: 5 });
    const counters = createCounters('key:a', 1);
    ask(plan, counters, { amounts: { tokens: 3, costNanoUsd: 3 } });
    assert.deepEqual(counters, createCounters('key:a', 1));
  });

  it('judges the fence before the end of the key, that before the clock, and all before any limit', () => {
    const plan = { ...planFor({ rpmLimit: 0 }, 3), validUntilMs: nowMs };
    const late = { notAfterMs: nowMs };
    assert.deepEqual(ask(plan, createCounters('key:a', 4), late), { outcome: 'stale', scopeId: 'key:a', revision: 4 });
    assert.deepEqual(ask(plan, undefined, late), { outcome: 'unseeded', scopeIds: ['key:a'] });
    assert.deepEqual(ask(plan, createCounters('key:a', 3), late), { outcome: 'expired' });
    assert.deepEqual(ask(plan, createCounters('key:a', 2)), { outcome: 'stale_clock', nowMs });
  });

  it('asks to come back for a slot after a second, for money when the period ends, for ever more never', () => {
    const slots = planFor({ maxParallelRequests: 1 });
    const busy = createCounters('key:a', 1);
    admit(slots, busy, 0, 0);
    assert.deepEqual(refusalOf(ask(slots, busy)), [0, 1000]);

    const amounts = { tokens: 0, costNanoUsd: 1 };
    for (const [budgetDuration, waitMs] of [
      ['daily', dayMs / 2],
      ['total', null],
    ] as const) {
      const plan = planFor({ maxBudgetNanoUsd: 5, budgetDuration });
      const spent = createCounters('key:a', 1);
      admit(plan, spent, 0, 5);
      assert.deepEqual(refusalOf(ask(plan, spent, { amounts })), [1, waitMs]);
    }
  });

  it('tells that a limit which can never be met refuses, before one that only makes wait', () => {
    const plan = planFor({ rpmLimit: 1, tpmLimit: 10 });
    const counters = createCounters('key:a', 1);
    admit(plan, counters, 0, 0);
    assert.deepEqual(refusalOf(ask(plan, counters)), [0, 61_000]);
    assert.deepEqual(refusalOf(ask(plan, counters, { amounts: { tokens: 11, costNanoUsd: 0 } })), [1, null]);
  });

  it('shows nothing below zero as left, where real use has passed a limit', () => {
    const plan = planFor({ maxBudgetNanoUsd: 5 });
    const counters = createCounters('key:a', 1);
    openBudget(counters, 'main', { periodStartMs: 0, periodEndMs: null }, nowMs).spentNanoUsd = 9;
    const decision = ask(plan, counters, { amounts: { tokens: 0, costNanoUsd: 1 } });
    assert.deepEqual(decision.outcome === 'refused' && decision.remaining, [Infinity, 0]);
  });

  it('counts what is given back in the same act as room, also for the time to wait', () => {
    const plan = planFor({ tpmLimit: 10 });
    const counters = createCounters('key:a', 1);
    admit(plan, counters, 8, 0);
    const replacing = (tokens: number) =>
      ask(plan, counters, {
        claim: { slots: 0 },
        amounts: { tokens, costNanoUsd: 0 },
        credits: [5, 0, 0],
      });
    assert.equal(replacing(7).outcome, 'fits');
    assert.deepEqual(refusalOf(replacing(8)), [0, 61_000]);
    assert.deepEqual(refusalOf(replacing(11)), [0, null]);
  });
});

describe('take', () => {
  it('raises the fence to the revision under which the request was judged', () => {
    const counters = createCounters('key:a', 1);
    admit(planFor({}, 9), counters, 0, 0);
    assert.equal(counters.revision, 9);
  });
});
