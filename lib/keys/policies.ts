import { StoreUnavailableError, VersionConflictError } from '../errors.ts';
import { type Scope, type ScopeId, scopeId } from '../limits/limit.ts';
import type { Actor } from '../stores/store.ts';
import { auditEntry } from './audit.ts';
import { carriesOf } from './budget-openings.ts';
import { checkActor } from './change-options.ts';
import type { PolicyInput } from './key-input.ts';
import { parsePolicyInput, parseScope } from './key-schema.ts';
import { policyScope } from './principals.ts';
import { isPolicyRecord } from './record-check.ts';
import type { ServiceContext } from './service-context.ts';
import { showPolicy } from './show-key.ts';
import type { Policy } from './shown-key.ts';
import type { PolicyRecord } from './virtual-key.ts';

const maxConflicts = 10;

/** Where a policy can stand: over a user's keys, over a team's, or over all. */
export type PolicyScope = Exclude<Scope, { readonly key: string }>;

/** Policies narrow every key under them, from the next request on. */
export function createPolicies(context: ServiceContext) {
  const { store, now, withDeadline, withReportDeadline } = context;

  async function find(id: ScopeId): Promise<PolicyRecord | undefined> {
    const record = await withDeadline(store.findPolicy(id));
    if (record === undefined || isPolicyRecord(record)) return record;
    throw new StoreUnavailableError(`The policy of ${id} cannot be read`);
  }

  return {
    async setPolicy(scope: PolicyScope, input: PolicyInput, actor?: Actor): Promise<Policy> {
      checkActor(actor);
      const id = scopeId(parseScope(scope));
      const fields = parsePolicyInput(input);
      for (let conflicts = 0; conflicts < maxConflicts; conflicts += 1) {
        const current = await find(id);
        const nowMs = now();
        const next: PolicyRecord = {
          ...fields,
          version: (current?.version ?? 0) + 1,
          revision: current?.revision ?? 0,
          createdAtMs: current?.createdAtMs ?? nowMs,
          updatedAtMs: nowMs,
        };
        const before = policyScope(id, current ?? null);
        const carries = await withReportDeadline(carriesOf(store, before, policyScope(id, next), nowMs));
        const audit = auditEntry('policy.updated', id, actor, current ? showPolicy(current) : null, showPolicy(next));
        const putting = withDeadline(store.putPolicy(id, next, { audit, outbox: false, fence: true, carries }));
        // Also after a failure: a change that was not answered in time may have been made.
        const outcome = await putting.finally(() => context.forget(id));
        if (outcome.outcome === 'updated') return showPolicy(outcome.record);
      }
      throw new VersionConflictError(0);
    },

    async getPolicy(scope: PolicyScope): Promise<Policy | undefined> {
      const record = await find(scopeId(parseScope(scope)));
      return record && showPolicy(record);
    },
  };
}
