import assert from 'node:assert/strict';
import { createLastSeen } from '../../../lib/keys/last-seen.ts';
import { createLocalLedger } from '../../../lib/keys/local-ledger.ts';
import { type AdmissionPlan, type Limits, noLimits } from '../../../lib/limits/limit.ts';
import { createPlan } from '../../../lib/limits/plan.ts';
import type { Hold } from '../../../lib/stores/store.ts';

const nowMs = Date.UTC(2025, 5, 15, 12);

function planOf(limits: Partial<Limits>, atMs = nowMs): AdmissionPlan {
  const scope = { scopeId: 'key:1', revision: 7, limits: { ...noLimits, ...limits }, anchorMs: 0 } as const;
  return createPlan([{ ...scope, rateLimitEnabled: true }], 'gpt-4o', atMs);
}

/** A ledger in the place of one that told last how much of each limit of the plan is left. */
function setUp(plan: AdmissionPlan, left: { readonly [limitId: string]: number }) {
  const lastSeen = createLastSeen();
  const tell = (now: { readonly [limitId: string]: number }, atMs = nowMs) => {
    lastSeen.remember(
      plan,
      plan.limits.map(({ id, limit }) => now[id] ?? limit ?? Infinity),
      atMs,
    );
  };
  lastSeen.switchOn();
  tell(left);
  const ledger = createLocalLedger(lastSeen);
  let calls = 0;
  const ask = (amounts = { tokens: 1, costNanoUsd: 0 }, atMs = nowMs, asked = plan) => {
    calls += 1;
    const subject = { keyId: '1', ownerId: null, teamId: null, model: 'gpt-4o', endpoint: null };
    const request = {
      mintedAtMs: atMs,
      plan: asked,
      amounts,
      subject,
      notAfterMs: null,
      onAbandoned: 'charge',
      trace: null,
    } as const;
    const hold: Hold = { ...request, holdId: `h${calls}`, callId: '', home: '', takes: asked.takes, atMs, leaseMs: 1 };
    return ledger.admit(request, hold, atMs);
  };
  const outcomes = (count: number, ...asked: Parameters<typeof ask>) =>
    Array.from({ length: count }, () => ask(...asked)?.outcome);
  const holdOf = (verdict: ReturnType<typeof ask>): Hold => {
    assert.equal(verdict?.outcome, 'admitted');
    return verdict.hold;
  };
  return { ledger, tell, ask, outcomes, holdOf };
}

describe('createLocalLedger', () => {
  it('admits what was left, and tells what is left of it then', () => {
    const { ask } = setUp(planOf({ rpmLimit: 5 }), { rpm: 2 });
    const verdicts = [ask(), ask(), ask()];
    assert.deepEqual(
      verdicts.map((verdict) => verdict && 'remaining' in verdict && [verdict.outcome, verdict.remaining[0]]),
      [
        ['admitted', 1],
        ['admitted', 0],
        ['refused', 0],
      ],
    );
  });

  it('gives back what was seen of a window when it has passed', () => {
    const { outcomes } = setUp(planOf({ rpmLimit: 5 }), { rpm: 0 });
    assert.deepEqual(outcomes(1, undefined, nowMs + 60_000), ['refused']);
    assert.deepEqual(outcomes(1, undefined, nowMs + 61_000), ['admitted']);
  });

  it('cannot tell of a limit that it has not seen, nor of a budget whose period has turned', () => {
    const monthly = { maxBudgetNanoUsd: 100, budgetDuration: 'monthly' };
    const { outcomes } = setUp(planOf(monthly), {});
    assert.deepEqual(outcomes(1), ['admitted']);
    const turnedMs = Date.UTC(2025, 6, 1);
    assert.deepEqual(outcomes(1, undefined, turnedMs, planOf(monthly, turnedMs)), [undefined]);
    assert.deepEqual(outcomes(1, undefined, nowMs, planOf({ ...monthly, rpmLimit: 1 })), [undefined]);
  });

  it('counts what its calls consumed in the end, and their slots while they are open', () => {
    const { ledger, ask, outcomes, holdOf } = setUp(planOf({ maxParallelRequests: 1, maxBudgetNanoUsd: 100 }), {});
    const hold = holdOf(ask({ tokens: 1, costNanoUsd: 60 }));
    assert.deepEqual(outcomes(1), ['refused']);
    ledger.end(hold, { tokens: 1, costNanoUsd: 90 }, nowMs);
    ledger.end(hold, { tokens: 1, costNanoUsd: 0 }, nowMs);
    assert.deepEqual(outcomes(1, { tokens: 1, costNanoUsd: 11 }), ['refused']);
    assert.deepEqual(outcomes(2, { tokens: 1, costNanoUsd: 10 }), ['admitted', 'refused']);
  });

  it('counts its calls on in the next outage, whether or not the store has heard of them, until the store tells', () => {
    const plan = planOf({ maxBudgetNanoUsd: 100 });
    const { ledger, tell, ask, outcomes, holdOf } = setUp(plan, {});
    const [heardOf, waiting] = [
      holdOf(ask({ tokens: 1, costNanoUsd: 30 })),
      holdOf(ask({ tokens: 1, costNanoUsd: 30 })),
    ];
    for (const hold of [heardOf, waiting]) ledger.end(hold, hold.amounts, nowMs);
    ledger.forget(heardOf.holdId);
    ledger.reset();
    assert.deepEqual(outcomes(1, { tokens: 1, costNanoUsd: 41 }), ['refused']);
    ledger.reset();
    // The store knows of the one that it has heard of.
    tell({ main: 70 });
    assert.deepEqual(outcomes(1, { tokens: 1, costNanoUsd: 41 }), ['refused']);
    assert.deepEqual(outcomes(1, { tokens: 1, costNanoUsd: 40 }), ['admitted']);
  });

  it('frees the slot of a call that the store admitted, and counts what it cost beyond its estimate', () => {
    const plan = planOf({ maxParallelRequests: 1, maxBudgetNanoUsd: 100 });
    const { ledger, outcomes } = setUp(plan, { parallel: 0, main: 50 });
    assert.deepEqual(outcomes(1), ['refused']);
    const subject = { keyId: '1', ownerId: null, teamId: null, model: 'gpt-4o', endpoint: null };
    const amounts = { tokens: 1, costNanoUsd: 50 };
    const hold = {
      holdId: 'of the store',
      callId: '',
      home: '',
      subject,
      takes: plan.takes,
      amounts,
      atMs: nowMs,
      leaseMs: 1,
      trace: null,
    };
    ledger.end(hold, { tokens: 1, costNanoUsd: 80 }, nowMs);
    assert.deepEqual(outcomes(1, { tokens: 1, costNanoUsd: 21 }), ['refused']);
    assert.deepEqual(outcomes(1, { tokens: 1, costNanoUsd: 20 }), ['admitted']);
  });

  it('admits no more calls than it can remember, until the store has heard of some', () => {
    const { ledger, ask, outcomes, holdOf } = setUp(planOf({}), {});
    const first = holdOf(ask());
    assert.deepEqual(new Set(outcomes(9999)), new Set(['admitted']));
    assert.deepEqual(outcomes(1), [undefined]);
    ledger.forget(first.holdId);
    assert.equal(ledger.has(first.holdId), false);
    assert.deepEqual(outcomes(2), ['admitted', undefined]);
  });
});
