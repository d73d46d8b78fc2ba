import { VersionConflictError } from '../errors.ts';
import type { WithDeadline } from '../stores/deadline.ts';
import type { Actor, Store, StoredDefaults } from '../stores/store.ts';
import { auditEntry } from './audit.ts';
import type { DefaultsInput } from './key-input.ts';
import { effectiveQuotas, parseDefaultsInput, type Quotas } from './quotas.ts';
import type { ServiceOptions } from './service-options.ts';

const maxConflicts = 10;

export interface QuotaSettingsOptions {
  readonly store: Store;
  readonly options: ServiceOptions;
  readonly withDeadline: WithDeadline;
}

/** Defaults and maximums for keys: the options of the service, and what an operator stored over them. */
export function createQuotaSettings({ store, options, withDeadline }: QuotaSettingsOptions) {
  const own = { defaults: options.defaults, maximums: options.maximums };
  // Nonsense in the options is told at once, not at the first key.
  effectiveQuotas(own, undefined);

  function shown(stored: StoredDefaults | undefined) {
    const { defaults, maximums } = effectiveQuotas(own, stored);
    return { defaults, maximums, version: stored?.version ?? 0 };
  }

  return {
    async inForce(): Promise<Quotas> {
      return effectiveQuotas(own, await withDeadline(store.findDefaults()));
    },

    async get() {
      return shown(await withDeadline(store.findDefaults()));
    },

    async set(input: DefaultsInput, actor?: Actor) {
      const parsed = parseDefaultsInput(input, own);
      for (let conflicts = 0; conflicts < maxConflicts; conflicts += 1) {
        const current = await withDeadline(store.findDefaults());
        const next: StoredDefaults = { ...parsed, version: (current?.version ?? 0) + 1 };
        const before = current ? { defaults: current.defaults, maximums: current.maximums } : null;
        const audit = auditEntry('defaults.updated', 'defaults', actor, before, parsed);
        const outcome = await withDeadline(
          store.putDefaults(next, { audit, outbox: false, fence: false, carries: [] }),
        );
        if (outcome.outcome === 'updated') return shown(outcome.record);
      }
      throw new VersionConflictError(0);
    },
  };
}
