import { StoreUnavailableError, VersionConflictError } from '../errors.ts';
import type { WithDeadline } from '../stores/deadline.ts';
import type { Actor, Store, StoredDefaults } from '../stores/store.ts';
import { auditEntry } from './audit.ts';
import { checkActor } from './change-options.ts';
import type { DefaultsInput } from './key-input.ts';
import { parseDefaultsInput } from './key-schema.ts';
import { checkDefaults, effectiveQuotas, type Quotas } from './quotas.ts';
import type { ServiceOptions } from './service-options.ts';

const maxConflicts = 10;

export interface QuotaSettingsOptions {
  readonly store: Store;
  readonly options: ServiceOptions;
  readonly withDeadline: WithDeadline;
}

/** Defaults and maximums for keys: the options of the service, and what an operator stored over them. */
export function createQuotaSettings({ store, options, withDeadline }: QuotaSettingsOptions) {
  const own = ownQuotas(options);

  function inForce(stored: StoredDefaults | undefined): Quotas {
    if (stored === undefined) return own;
    return effectiveQuotas(own, readStored(stored));
  }

  async function find(): Promise<StoredDefaults | undefined> {
    return withDeadline(store.findDefaults());
  }

  return {
    async inForce(): Promise<Quotas> {
      return inForce(await find());
    },

    async get() {
      const stored = await find();
      return { ...inForce(stored), version: stored?.version ?? 0 };
    },

    /** Replaces what was stored before. */
    async set(input: DefaultsInput, actor?: Actor) {
      checkActor(actor);
      const parsed = parseDefaultsInput(input);
      checkDefaults(effectiveQuotas(own, parsed));
      for (let conflicts = 0; conflicts < maxConflicts; conflicts += 1) {
        const current = await find();
        const next: StoredDefaults = { ...parsed, version: (current?.version ?? 0) + 1 };
        const before = current === undefined ? null : { defaults: current.defaults, maximums: current.maximums };
        const audit = auditEntry('defaults.updated', 'defaults', actor, before, parsed);
        const change = { audit, outbox: false, fence: false, carries: [] };
        const outcome = await withDeadline(store.putDefaults(next, change));
        if (outcome.outcome === 'updated') return { ...inForce(outcome.record), version: outcome.record.version };
      }
      throw new VersionConflictError(0);
    },
  };
}

/** What was edited into nonsense is no fault of the input that it would be put into. */
function readStored({ defaults, maximums }: StoredDefaults): Quotas {
  try {
    return parseDefaultsInput({ defaults, maximums });
  } catch (cause) {
    throw new StoreUnavailableError('The stored defaults cannot be read: set them anew', { cause });
  }
}

/** Nonsense in the options is told when the service is made, not at the first key. */
function ownQuotas({ defaults, maximums }: ServiceOptions): Quotas {
  try {
    return parseDefaultsInput({ defaults, maximums });
  } catch (error) {
    throw new TypeError(`createVirtualKeys: ${error instanceof Error ? error.message : error}`);
  }
}
