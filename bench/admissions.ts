import { type AdmissionPlan, noLimits, type ScopeId } from '../lib/limits/limit.ts';
import { createPlan } from '../lib/limits/plan.ts';
import { randomId } from '../lib/random-id.ts';
import type { AdmitRequest, Store } from '../lib/stores/store.ts';
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

/** Admits calls of some keys, and settles them. */
export interface Admissions {
  readonly keyIds: readonly string[];
  readonly admit: Act;
  readonly pair: Act;
}

/** Admissions of so many keys with six limits each, on a store that knows none of them yet. */
export async function admissions(store: Store, keyCount: number): Promise<Admissions> {
  const keyIds = Array.from({ length: keyCount }, () => randomId());
  for (const keyId of keyIds) {
    const verdict = await store.admit(requestOf(keyId, planOf(keyId)));
    if (verdict.outcome !== 'unseeded') throw new Error(`An empty ledger knows a key: ${verdict.outcome}`);
    for (const { scopeId, nonce } of verdict.scopes) await store.seed(scopeId, nonce, 1, []);
  }
  return knownAdmissions(store, keyIds);
}

/** The same, of keys that the store knows. */
export function knownAdmissions(store: Store, keyIds: readonly string[]): Admissions {
  const keys = keyIds.map((keyId) => ({ keyId, plan: planOf(keyId) }));
  const ask = async (index: number) => {
    const key = keys[index % keys.length];
    if (key === undefined) throw new Error('There are no keys');
    return store.admit(requestOf(key.keyId, key.plan));
  };
  return {
    keyIds,
    admit: async (index) => (await ask(index)).outcome === 'admitted',
    async pair(index) {
      const verdict = await ask(index);
      if (verdict.outcome !== 'admitted') return false;
      const settled = { hold: verdict.hold, usage, costNanoUsd: 450_000, source: 'reported', model } as const;
      return (await store.settle(settled)).state === 'settled';
    },
  };
}

function planOf(keyId: string): AdmissionPlan {
  const { maxBudget, ...limits } = sixLimits;
  const scopeId: ScopeId = `key:${keyId}`;
  const scope = { scopeId, revision: 1, anchorMs: 0, rateLimitEnabled: true };
  const scopes = [{ ...scope, limits: { ...noLimits, ...limits, maxBudgetNanoUsd: maxBudget * 1e9 } }];
  return createPlan(scopes, model, Date.now());
}

function requestOf(keyId: string, plan: AdmissionPlan): AdmitRequest {
  const subject = { keyId, ownerId: null, teamId: null, model, endpoint };
  const ids = { holdId: randomId(), mintedAtMs: Date.now(), leaseMs: 600_000 };
  return { ...ids, plan, amounts, subject, notAfterMs: null, onAbandoned: 'charge', trace: null };
}
