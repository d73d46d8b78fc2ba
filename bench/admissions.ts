import type { AdmissionPlan } from '../lib/limits/limit.ts';
import { randomId } from '../lib/random-id.ts';
import type { AdmitRequest, Hold, Store } from '../lib/stores/store.ts';
import type { UsageSubject } from '../lib/usage/usage.ts';
import { amounts, model, scattered, usage } from './sample-keys.ts';
import { type LimitCount, planOf, subjectOf } from './sample-plans.ts';

/** Does the operation of this number, and answers whether it was admitted. */
export type Act = (index: number) => Promise<boolean>;

/** Callers who each ask again when they have their answer. Answers how many operations were admitted. */
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
  /** Admits and settles. */
  readonly pair: Act;
  holdFor(index: number): Promise<Hold | undefined>;
  settle(hold: Hold | undefined): Promise<boolean>;
}

/** Admissions of so many keys with so many limits each, on a store that knows none of them yet. */
export async function admissions(store: Store, keyCount: number, limitCount: LimitCount = 6): Promise<Admissions> {
  const keyIds = Array.from({ length: keyCount }, () => randomId());
  await inParallel(64, keyCount, async (index) => {
    const subject = subjectOf(keyIds[index] ?? '', index);
    const verdict = await store.admit(requestOf(subject, planOf(subject, limitCount)));
    if (verdict.outcome !== 'unseeded') throw new Error(`An empty ledger knows a key: ${verdict.outcome}`);
    for (const { scopeId, nonce } of verdict.scopes) await store.seed(scopeId, nonce, 1, []);
    return true;
  });
  return knownAdmissions(store, keyIds, limitCount);
}

/** The same, of keys that the store knows. */
export function knownAdmissions(store: Store, keyIds: readonly string[], limitCount: LimitCount = 6): Admissions {
  const callers = keyIds.map((keyId, index) => {
    const subject = subjectOf(keyId, index);
    return { subject, plan: planOf(subject, limitCount) };
  });
  const order = scattered(keyIds.length);

  async function holdFor(index: number): Promise<Hold | undefined> {
    const caller = callers[order(index)];
    if (caller === undefined) throw new Error('There are no keys');
    const verdict = await store.admit(requestOf(caller.subject, caller.plan));
    return verdict.outcome === 'admitted' ? verdict.hold : undefined;
  }

  async function settle(hold: Hold | undefined): Promise<boolean> {
    if (hold === undefined) return false;
    const settled = { hold, usage, costNanoUsd: 450_000, source: 'reported', model } as const;
    return (await store.settle(settled)).state === 'settled';
  }

  return {
    keyIds,
    holdFor,
    settle,
    admit: async (index) => (await holdFor(index)) !== undefined,
    pair: async (index) => settle(await holdFor(index)),
  };
}

function requestOf(subject: UsageSubject, plan: AdmissionPlan): AdmitRequest {
  const ids = { holdId: randomId(), mintedAtMs: Date.now(), leaseMs: 600_000 };
  return { ...ids, plan, amounts, subject, notAfterMs: null, onAbandoned: 'charge', trace: null };
}
