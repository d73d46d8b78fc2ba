import type { CombinableLedger, CombinableRecords } from '../combinable.ts';
import type { StoreEnvironment, StoreNotice } from '../store.ts';
import { createAlertRows } from './alerts.ts';
import { createArchive } from './archive.ts';
import { createLedger } from './ledger.ts';
import { createOutbox } from './outbox.ts';
import { createPendingFences } from './pending-fences.ts';
import { createRecords } from './records.ts';
import { createScopes } from './scopes.ts';
import { createTwins } from './twins.ts';
import { createUsageLog } from './usage-log.ts';

export interface MemoryStoreOptions {
  /** The latest usage events kept one by one. @defaultValue 100,000 */
  maxUsageEvents?: number | undefined;
  /** Sums of usage kept: one for each hour, key, model and endpoint. The oldest go first. @defaultValue 200,000 */
  maxUsageSums?: number | undefined;
  /** @defaultValue 100,000 */
  maxAuditRows?: number | undefined;
  /** The latest alerts. @defaultValue 10,000 */
  maxAlerts?: number | undefined;
  /**
   * Ended holds remembered, so that a repeated settlement changes nothing: for an hour, or the last so many.
   * @defaultValue 1,000,000
   */
  maxEndedHolds?: number | undefined;
}

const defaults = {
  maxUsageEvents: 100_000,
  maxUsageSums: 200_000,
  maxAuditRows: 100_000,
  maxAlerts: 10_000,
  maxEndedHolds: 1_000_000,
};

/**
 * A store in the memory of this process: nothing is shared, and nothing outlives it. The reference for every other store.
 *
 * @throws TypeError for an unknown option, or one that is not a whole number from 10
 */
export function memoryStore(options: MemoryStoreOptions = {}): CombinableRecords & CombinableLedger {
  const sizes = checkSizes(options);
  const environments = new Set<StoreEnvironment>();
  let clock: () => number = Date.now;
  const now = () => clock();
  const notify = (notice: StoreNotice) => {
    for (const environment of environments) environment.onNotice(notice);
  };

  const scopes = createScopes();
  const usageLog = createUsageLog({ maxEvents: sizes.maxUsageEvents, maxSums: sizes.maxUsageSums });
  const { leave, ...fences } = createPendingFences();
  const { write, ...outbox } = createOutbox(now);
  const records = createRecords({
    scopes,
    fences: { leave },
    outbox: { write },
    now,
    notify,
    maxAuditRows: sizes.maxAuditRows,
  });
  const alerts = createAlertRows({ now, maxAlerts: sizes.maxAlerts });
  const ledger = createLedger({ scopes, usageLog, now, notify, maxEndedHolds: sizes.maxEndedHolds });

  return {
    name: 'memory',
    open(environment) {
      environments.add(environment);
      if (environment.clock !== undefined) clock = environment.clock;
      return () => environments.delete(environment);
    },
    ...records,
    ...alerts,
    ...outbox,
    ...createTwins(),
    ...fences,
    ...createArchive({ usageLog, now, maxLines: sizes.maxEndedHolds }),
    admit: ledger.admit,
    extend: ledger.extend,
    settle: ledger.settle,
    cancel: ledger.cancel,
    renew: ledger.renew,
    sweep: async (limit) => ledger.sweep(limit),
    balances: async (scopeIds) => scopeIds.flatMap((scopeId) => ledger.balance(scopeId) ?? []),
    async adjust(adjustment) {
      const adjusted = ledger.adjust(adjustment);
      if (adjusted.state === 'adjusted') await records.appendAudit(adjustment.audit);
      return adjusted;
    },
    seed: async (...seed) => ledger.seed(...seed),
    fence: async (fence) => ledger.fence(fence),
    record: async (...usage) => ledger.record(...usage),
    usage: async (query) => usageLog.query(query),
    usageEvents: async (after, limit) => usageLog.read(after, limit),
    trimUsage: async (until) => usageLog.trim(until),
    countUsage: async () => usageLog.count(),
    now: async () => now(),
    async ping() {},
    async close() {},
  };
}

function checkSizes(options: MemoryStoreOptions): typeof defaults {
  const sizes = { ...defaults };
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(defaults, name)) {
      throw new TypeError(`memoryStore: "${name}" is no option; the options are ${Object.keys(defaults).join(', ')}`);
    }
    if (value === undefined) continue;
    if (!Number.isSafeInteger(value) || value < 10)
      throw new TypeError(`memoryStore: ${name} must be a whole number from 10`);
    sizes[name as keyof typeof defaults] = value;
  }
  return sizes;
}
