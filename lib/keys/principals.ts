import { createGenerations } from '../generations.ts';
import { type AdmissionPlan, noLimits, type ScopeId } from '../limits/limit.ts';
import { createPlan, type LimitedScope } from '../limits/plan.ts';
import { whenAnswered } from '../stores/answered.ts';
import type { Circuit } from '../stores/circuit.ts';
import type { Answer, Store } from '../stores/store.ts';
import { createRecordCache, type Entry, isFresh, isWithinAge } from './record-cache.ts';
import { isKeyRecord, isPolicyRecord } from './record-check.ts';
import type { PolicyRecord, VirtualKeyRecord } from './virtual-key.ts';

/** A key together with the policies over it, as they were read: what a request is judged by. */
export interface Principal {
  readonly key: VirtualKeyRecord;
  /** User, team and global, as far as they concern the key. */
  readonly policies: readonly ScopedPolicy[];
  /** Everything that a request for this model is held against, at this moment of the store's clock. */
  planFor(model: string | null, nowMs: number): AdmissionPlan;
}

export interface ScopedPolicy {
  readonly scopeId: ScopeId;
  readonly policy: PolicyRecord | null;
}

/** Finds principals by id or by hash, from a cache that is told of changes: what it remembers, it answers at once. */
export interface Principals {
  findById(keyId: string, fresh?: boolean): Answer<Principal | undefined>;
  /** What is known of a key without asking the store, and not too old. */
  findCached(keyId: string): Principal | undefined;
  /** By the hashes a secret may be stored under. What is found is not verified yet: see `verification.ts`. */
  findByHash(secretHashes: readonly string[], fresh?: boolean): Answer<Principal | undefined>;
  /** From the cache alone, records of at most this age: for the time in which the store is down. */
  rememberedByHash(secretHashes: readonly string[], maxAgeMs: number): Principal | undefined;
  /** A change of this scope's record was noticed. */
  forget(scopeId: ScopeId): void;
  /** Changes were missed: what is known of any record may be from before them, and is used only while the store is down. */
  doubtAll(): void;
}

export interface PrincipalsOptions {
  readonly store: Store;
  readonly now: () => number;
  readonly cacheMs: number;
  readonly circuit: Circuit;
  readonly onCorrupt: (scopeId: ScopeId) => void;
}

const maxKeys = 100_000;
const maxAbsent = 20_000;
/** Plans kept for one key; for models beyond these a plan is made each time. */
const maxPlans = 64;

interface CachedPrincipal extends Principal {
  readonly entries: readonly Entry<unknown>[];
}

export function createPrincipals(options: PrincipalsOptions): Principals {
  const { store, now, cacheMs, circuit, onCorrupt } = options;
  const caching = { now, cacheMs, maxSize: maxKeys, maxAbsent };
  const keys = createRecordCache({
    ...caching,
    load: async (keyId) => checkedKey(keyId, await circuit.ask(() => store.findKey(keyId))),
  });
  const policies = createRecordCache({
    ...caching,
    maxAbsent: maxKeys,
    load: async (name) => checkedPolicy(name as ScopeId, await circuit.ask(() => store.findPolicy(name as ScopeId))),
  });
  // Which key a hash belongs to. It may be out of date: the key's own record decides whether the hash is still its.
  const owners = createRecordCache({
    ...caching,
    load: async (hashes) => (await circuit.ask(() => store.findKeyByHash(hashes.split(' '))))?.id,
  });
  const assembled = createGenerations<CachedPrincipal>({ maxSize: maxKeys });

  function checkedKey(keyId: string, record: unknown): VirtualKeyRecord | undefined {
    if (record === undefined || isKeyRecord(record)) return record;
    onCorrupt(`key:${keyId}`);
    return undefined;
  }

  function checkedPolicy(scopeId: ScopeId, record: unknown): PolicyRecord | undefined {
    if (record === undefined || isPolicyRecord(record)) return record;
    onCorrupt(scopeId);
    return noModel;
  }

  function findCached(keyId: string): Principal | undefined {
    const cached = assembled.get(keyId);
    return cached !== undefined && areFresh(cached.entries, now(), cacheMs) ? cached : undefined;
  }

  function findById(keyId: string, fresh = false): Answer<Principal | undefined> {
    return (fresh ? undefined : findCached(keyId)) ?? assemble(keyId, fresh);
  }

  async function assemble(keyId: string, fresh: boolean): Promise<Principal | undefined> {
    const key = await keys.get(keyId, fresh);
    if (key.value === undefined) return undefined;
    const scopes = policyScopes(key.value);
    const entries = await Promise.all(scopes.map((scopeId) => policies.get(scopeId, fresh)));
    const over = scopes.map((scopeId, at) => ({ scopeId, policy: entries[at]?.value ?? null }));
    const principal = { ...createPrincipal(key.value, over), entries: [key, ...entries] };
    assembled.set(keyId, principal, now());
    return principal;
  }

  return {
    findById,
    findCached,
    findByHash(secretHashes, fresh = false) {
      return whenAnswered(owners.get(secretHashes.join(' '), fresh), ({ value: keyId }) =>
        keyId === undefined ? undefined : findById(keyId, fresh),
      );
    },
    rememberedByHash(secretHashes, maxAgeMs) {
      const owner = owners.remembered(secretHashes.join(' '), maxAgeMs);
      const principal = owner?.value === undefined ? undefined : assembled.get(owner.value);
      return principal !== undefined && areWithinAge(principal.entries, now(), maxAgeMs) ? principal : undefined;
    },
    forget(scopeId) {
      if (!scopeId.startsWith('key:')) return policies.forget(scopeId);
      keys.forget(scopeId.slice('key:'.length));
      owners.forgetAbsent();
    },
    doubtAll() {
      for (const cache of [keys, policies, owners]) cache.doubtAll();
    },
  };
}

function createPrincipal(key: VirtualKeyRecord, policies: readonly ScopedPolicy[]): Principal {
  const plans = new Map<string | null, AdmissionPlan>();
  const scopes = limitedScopes(key, policies);
  return {
    key,
    policies,
    planFor(model, nowMs) {
      const cached = plans.get(model);
      if (cached !== undefined && nowMs >= cached.validFromMs && nowMs < cached.validUntilMs) return cached;
      const plan = createPlan(scopes, model, nowMs);
      if (cached !== undefined || plans.size < maxPlans) plans.set(model, plan);
      return plan;
    },
  };
}

/** The scopes over a key with their limits, the key first. */
export function limitedScopes(key: VirtualKeyRecord, policies: readonly ScopedPolicy[]): readonly LimitedScope[] {
  return [keyScope(key), ...policies.map(({ scopeId, policy }) => policyScope(scopeId, policy))];
}

export function keyScope(key: VirtualKeyRecord): LimitedScope {
  return {
    scopeId: `key:${key.id}`,
    revision: key.revision,
    limits: key,
    anchorMs: key.createdAtMs,
    rateLimitEnabled: key.rateLimitEnabled,
  };
}

export function policyScope(scopeId: ScopeId, policy: PolicyRecord | null): LimitedScope {
  return {
    scopeId,
    revision: policy?.revision ?? 0,
    limits: policy,
    anchorMs: policy?.createdAtMs ?? 0,
    rateLimitEnabled: true,
  };
}

function policyScopes({ ownerId, teamId }: VirtualKeyRecord): readonly ScopeId[] {
  const scopes: ScopeId[] = [];
  if (ownerId !== null) scopes.push(`user:${ownerId}`);
  if (teamId !== null) scopes.push(`team:${teamId}`);
  scopes.push('global');
  return scopes;
}

function areFresh(entries: readonly Entry<unknown>[], nowMs: number, cacheMs: number): boolean {
  for (const entry of entries) if (!isFresh(entry, nowMs, cacheMs)) return false;
  return true;
}

function areWithinAge(entries: readonly Entry<unknown>[], nowMs: number, maxAgeMs: number): boolean {
  return entries.every((entry) => isWithinAge(entry, nowMs, maxAgeMs));
}

/** What stands in for a policy that cannot be read: it denies. */
const noModel: PolicyRecord = {
  models: [],
  endpoints: [],
  ...noLimits,
  rpmLimit: 0,
  version: 1,
  revision: 0,
  createdAtMs: 0,
  updatedAtMs: 0,
};
