import { randomUUID } from 'node:crypto';
import { noLimits, type ScopeId } from '../lib/limits/limit.ts';
import { createPlan } from '../lib/limits/plan.ts';
import type { Store } from '../lib/stores/store.ts';
import { amounts, endpoint, model, sixLimits, usage } from './sample-keys.ts';

/** Does the operation of this number, and answers whether it was admitted. */
export type Act = (index: number) => Promise<boolean>;

export async function inParallel(callers: number, operations: number, act: Act): Promise<number> {
  let next = 0;
  let admitted = 0;
  const call = async () => {
    while (next < operations) {
      const index = next;
      next += 1;
      if (await act(index)) admitted += 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  return admitted;
}

/** Admissions of so many keys with six limits each, on a store that knows none of them yet. */
export async function admissions(store: Store, keyCount: number): Promise<{ readonly admit: Act; readonly pair: Act }> {
  const { maxBudget, ...limits } = sixLimits;
  const plans = Array.from({ length: keyCount }, () => {
    const scopeId: ScopeId = `key:${randomUUID()}`;
    const scope = { scopeId, revision: 1, anchorMs: 0, rateLimitEnabled: true };
    return createPlan(
      [{ ...scope, limits: { ...noLimits, ...limits, maxBudgetNanoUsd: maxBudget * 1e9 } }],
      model,
      Date.now(),
    );
  });
  const ask = async (index: number) => {
    const plan = plans[index % keyCount] ?? plans[0];
    if (plan === undefined) throw new Error('There are no keys');
    const subject = { keyId: plan.scopes[0]?.scopeId.slice(4) ?? '', ownerId: null, teamId: null, model, endpoint };
    const request = { plan, amounts, subject, notAfterMs: null, onAbandoned: 'charge', trace: null } as const;
    return store.admit({ ...request, holdId: randomUUID(), mintedAtMs: Date.now(), leaseMs: 600_000 });
  };
  for (let index = 0; index < keyCount; index += 1) {
    const verdict = await ask(index);
    if (verdict.outcome !== 'unseeded') throw new Error(`An empty ledger knows a key: ${verdict.outcome}`);
    for (const { scopeId, nonce } of verdict.scopes) await store.seed(scopeId, nonce, 1, []);
  }
  return {
    admit: async (index) => (await ask(index)).outcome === 'admitted',
    async pair(index) {
      const verdict = await ask(index);
      if (verdict.outcome !== 'admitted') return false;
      const settled = { hold: verdict.hold, usage, costNanoUsd: 450_000, source: 'reported', model } as const;
      return (await store.settle(settled)).state === 'settled';
    },
  };
}
