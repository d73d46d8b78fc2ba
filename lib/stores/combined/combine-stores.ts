import { StoreUnavailableError } from '../../errors.ts';
import type { ScopeId } from '../../limits/limit.ts';
import { refuseUnknownOptions } from '../../options.ts';
import type { CombinableLedger, CombinableRecords } from '../combinable.ts';
import { createDeadline } from '../deadline.ts';
import type { Change, Store } from '../store.ts';
import { approximateBalances } from './approximate-balances.ts';
import { createBackground } from './background.ts';
import { createFences } from './fences.ts';
import { createListeners } from './listeners.ts';
import { createRelay } from './relay.ts';

export interface CombineStoresOptions {
  /** Keeps keys, policies, their history, and the archive of usage. */
  records: CombinableRecords;
  /** Keeps counters and holds. */
  ledger: CombinableLedger;
  /** After how long without it an operator is told that usage does not reach the archive. @defaultValue 60,000 */
  maxRelayLagMs?: number | undefined;
  /** How many usage events may wait for the archive until an operator is told. @defaultValue 50,000 */
  maxRelayBacklog?: number | undefined;
}

/** Shorter than the service's own: a change that is stored must not be taken for one that may not be. */
const fenceDeadlineMs = 250;
const balancesDeadlineMs = 250;
const relayDeadlineMs = 10_000;
/** How long a reading of usage may be what a scope is seeded with. */
const readingMs = 1000;

/**
 * One store of two: records in one, such as Postgres, counters in another, such as Redis. Usage flows from the ledger into
 * the archive of the records within a second, each line once, and is read from there.
 *
 * A change of a record resolves when the ledger refuses calls judged before it; where the ledger does not answer it
 * throws `FencePendingError`: the change is stored, and the ledger hears of it as soon as it answers.
 *
 * @example
 * ```ts
 * const store = combineStores({ records: postgresStore({ knex }), ledger: redisStore({ client }) });
 * ```
 * @throws TypeError for an unknown option, or a store that cannot be the half it is given as
 */
export function combineStores(options: CombineStoresOptions): Store {
  const { records, ledger, maxRelayLagMs, maxRelayBacklog } = checkOptions(options);
  const listeners = createListeners();
  const withFenceDeadline = createDeadline(fenceDeadlineMs);
  const fences = createFences({ records, ledger, withDeadline: withFenceDeadline, logger: listeners.logger });
  const relay = createRelay({ records, ledger, withDeadline: createDeadline(relayDeadlineMs) });
  const withBalancesDeadline = createDeadline(balancesDeadlineMs);
  const background = createBackground({
    fences,
    relay,
    maxRelayLagMs,
    maxRelayBacklog,
    logger: listeners.logger,
    onNotice: listeners.onNotice,
  });
  let incompleteReadingMs = -Infinity;

  const forOtherLedger = (change: Change): Change => ({ ...change, ledger: 'other' });

  /** A change that was made is in force when this resolves. */
  async function inForce<O extends { readonly outcome: string }>(scopeId: ScopeId, change: Promise<O>): Promise<O> {
    const outcome = await change;
    if (outcome.outcome === 'updated') await fences.raised(scopeId);
    return outcome;
  }

  return {
    name: `${records.name}+${ledger.name}`,
    open(environment) {
      const isFirst = listeners.add(environment);
      const leaveRecords = records.open(environment);
      const leaveLedger = ledger.open(environment);
      if (isFirst) background.start();
      return () => {
        if (listeners.remove(environment)) background.stop();
        leaveLedger();
        leaveRecords();
      };
    },

    async insertKey(record, change, limits) {
      const outcome = await records.insertKey(record, forOtherLedger(change), limits);
      // Until the ledger knows the key it admits nothing under it. The caller needs the secret of the key that is stored.
      if (outcome.outcome === 'inserted') await fences.raised(`key:${record.id}`).catch(() => undefined);
      return outcome;
    },
    updateKey: (record, change, limits) => {
      const updated = records.updateKey(record, forOtherLedger(change), limits);
      return change.fence ? inForce(`key:${record.id}`, updated) : updated;
    },
    deleteKey: (id, version, change) => inForce(`key:${id}`, records.deleteKey(id, version, forOtherLedger(change))),
    findKey: (id) => records.findKey(id),
    findKeyByHash: (secretHashes) => records.findKeyByHash(secretHashes),
    listKeys: (filter, page) => records.listKeys(filter, page),
    countKeys: (filter) => records.countKeys(filter),
    touchKey: (id, lastUsedAtMs) => records.touchKey(id, lastUsedAtMs),
    findPolicy: (scopeId) => records.findPolicy(scopeId),
    putPolicy: (scopeId, record, change) =>
      inForce(scopeId, records.putPolicy(scopeId, record, forOtherLedger(change))),
    findDefaults: () => records.findDefaults(),
    putDefaults: (defaults, change) => records.putDefaults(defaults, forOtherLedger(change)),
    appendAudit: (entry) => records.appendAudit(entry),
    listAudit: (query, page) => records.listAudit(query, page),
    insertAlert: (alert) => records.insertAlert(alert),
    listAlerts: (query, page) => records.listAlerts(query, page),
    readOutbox: (limit) => records.readOutbox(limit),
    clearOutbox: (rows) => records.clearOutbox(rows),
    enqueueOutbox: (keyIds, delayMs) => records.enqueueOutbox(keyIds, delayMs),
    claimOutbox: (limit, leaseMs, keyIds) => records.claimOutbox(limit, leaseMs, keyIds),
    deferOutbox: (row, delayMs) => records.deferOutbox(row, delayMs),
    outboxBacklog: () => records.outboxBacklog(),
    findTwins: (keyIds) => records.findTwins(keyIds),
    putTwin: (row) => records.putTwin(row),
    removeTwin: (keyId, version) => records.removeTwin(keyId, version),
    countTwins: () => records.countTwins(),

    admit: (request) => ledger.admit(request),
    extend: (request) => ledger.extend(request),
    settle: (request) => ledger.settle(request),
    cancel: (hold) => ledger.cancel(hold),
    renew: (hold) => ledger.renew(hold),
    sweep: (limit) => ledger.sweep(limit),
    record: (event, plan) => ledger.record(event, plan),
    usageEvents: (after, limit) => ledger.usageEvents(after, limit),
    async adjust(adjustment) {
      await records.appendAudit(adjustment.audit);
      return ledger.adjust(adjustment);
    },
    async balances(scopeIds) {
      try {
        return await withBalancesDeadline(ledger.balances(scopeIds));
      } catch {
        return approximateBalances(records, scopeIds, listeners.now());
      }
    },
    async usage(query) {
      const isComplete = await relay.hasCaughtUp();
      try {
        return await records.usage(query);
      } finally {
        if (!isComplete) incompleteReadingMs = performance.now();
      }
    },
    async seed(scopeId, nonce, revision, openings) {
      if (performance.now() - incompleteReadingMs < readingMs) {
        throw new StoreUnavailableError('The archive lacks usage that the ledger has: no budget can be opened with it');
      }
      return ledger.seed(scopeId, nonce, revision, openings);
    },

    now: () => ledger.now(),
    async ping() {
      await Promise.all([records.ping(), ledger.ping()]);
    },
    async close() {
      background.stop();
      await Promise.all([records.close(), ledger.close()]);
    },
  };
}

const neededOf = {
  records: ['insertKey', 'pendingFences', 'clearFences', 'archivedUntil', 'archiveUsage'],
  ledger: ['admit', 'fence', 'trimUsage', 'countUsage'],
} as const;

function checkOptions(options: CombineStoresOptions) {
  const where = 'combineStores';
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`${where}: give it two stores, { records, ledger }`);
  }
  refuseUnknownOptions(where, options, ['records', 'ledger', 'maxRelayLagMs', 'maxRelayBacklog']);
  const { records, ledger, maxRelayLagMs = 60_000, maxRelayBacklog = 50_000 } = options;
  for (const [half, methods] of Object.entries(neededOf)) {
    const store: unknown = options[half as keyof typeof neededOf];
    if (typeof store !== 'object' || store === null) throw new TypeError(`${where}: ${half} must be a store`);
    const missing = methods.filter((method) => typeof Reflect.get(store, method) !== 'function');
    if (missing.length > 0) {
      throw new TypeError(`${where}: this store cannot keep the ${half}; it has no ${missing.join(', ')}`);
    }
  }
  if (Object.is(records, ledger)) {
    throw new TypeError(`${where}: records and ledger are the same store; use it as it is`);
  }
  if (!Number.isSafeInteger(maxRelayLagMs) || maxRelayLagMs < 1000) {
    throw new TypeError(`${where}: maxRelayLagMs must be a whole number from 1000`);
  }
  if (!Number.isSafeInteger(maxRelayBacklog) || maxRelayBacklog < 1) {
    throw new TypeError(`${where}: maxRelayBacklog must be a whole number from 1`);
  }
  return { records, ledger, maxRelayLagMs, maxRelayBacklog };
}
