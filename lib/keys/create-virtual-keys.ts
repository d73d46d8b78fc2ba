import { type ScopeId, scopeKind } from '../limits/limit.ts';
import { createDeadline } from '../stores/deadline.ts';
import type { AlertRow, StoreNotice } from '../stores/store.ts';
import { createPricing } from '../usage/cost.ts';
import { usd } from '../usage/money.ts';
import { createAdmissions } from './admissions.ts';
import { createAlerts } from './alerts.ts';
import { createMirrorPlace } from './attached-mirror.ts';
import { createBalances } from './balances.ts';
import { parseCloseOptions } from './change-options.ts';
import { createDenials } from './denials.ts';
import { createDirectAdmissions } from './direct-admissions.ts';
import { createEvents } from './events.ts';
import { createExternalUsage } from './external-usage.ts';
import { createGuessing } from './guessing.ts';
import { createHooks } from './hooks.ts';
import { attachInternals } from './internals.ts';
import { createKeyChanges } from './key-changes.ts';
import { createKeyCreation } from './key-creation.ts';
import { createKeyImport } from './key-import.ts';
import { createKeyQueries } from './key-queries.ts';
import { createKeyRemoval } from './key-removal.ts';
import { createLastSeen } from './last-seen.ts';
import { createLastUsed } from './last-used.ts';
import { createLocalLedger } from './local-ledger.ts';
import { createOutages } from './outages.ts';
import { createOutdatedRecords } from './outdated-records.ts';
import { createPolicies } from './policies.ts';
import { createPrincipals } from './principals.ts';
import { createQuotaSettings } from './quota-settings.ts';
import { createRepeatedActs } from './repeated-acts.ts';
import { createRetries } from './retries.ts';
import { createSecretFormat } from './secret.ts';
import type { ServiceContext } from './service-context.ts';
import { type CreateVirtualKeysOptions, checkServiceOptions } from './service-options.ts';
import { createSettlements, shownUsageEvent } from './settlements.ts';
import { showAlert } from './shown-alert.ts';
import { createSpendReset } from './spend-reset.ts';
import { createStoreState } from './store-state.ts';
import { parseHold, parseUsage } from './usage-input.ts';
import { createRememberedVerification, createVerification } from './verification.ts';
import type { Health, VirtualKeys } from './virtual-keys.ts';
import { createWebhooks } from './webhooks/webhooks.ts';

/** Stores that do not sweep by themselves are asked this often. */
const sweepEveryMs = 1000;
const sweepAtMost = 1000;
/** So many times as long as for other answers the store may take for lists and sums. */
const reportPatience = 20;

/**
 * Makes the service that issues virtual keys, verifies them, and holds calls against their limits.
 *
 * @example
 * ```ts
 * const keys = createVirtualKeys({ store: memoryStore(), prices });
 * const { key, secret } = await keys.create({ name: 'Production', models: ['gpt-4o*'], rpmLimit: 60 });
 * ```
 * @throws TypeError for options that are unknown or of no use
 */
export function createVirtualKeys(given: CreateVirtualKeysOptions): VirtualKeys {
  const options = checkServiceOptions(given);
  const { store, logger, cacheMs, leaseMs, onAbandoned } = options;
  const now = options.clock ?? Date.now;
  const withDeadline = createDeadline(options.storeTimeoutMs);
  const withReportDeadline = createDeadline(reportPatience * options.storeTimeoutMs);
  const mirror = createMirrorPlace();
  const secrets = createSecretFormat({
    prefix: options.secretPrefix,
    pepper: options.pepper,
    acceptsImported: () => options.importedSecrets || mirror.current !== undefined,
  });
  const pricing = createPricing(options.prices, options.unpriced);
  const events = createEvents(logger);
  const webhooks = createWebhooks({ webhooks: options.webhooks, now, logger });
  const hooks = createHooks((error) => {
    logger.error(`A hook failed after a change was decided: ${error instanceof Error ? error.name : typeof error}`);
  });

  function onCorrupt(scopeId: ScopeId): void {
    logger.error(`The record of ${scopeId} cannot be read; it denies until it is mended`);
    const scope = scopeKind(scopeId);
    events.emit('record.corrupt', { scope, id: scope === 'global' ? '' : scopeId.slice(scope.length + 1) });
  }

  function onAlert(row: AlertRow): void {
    const alert = showAlert(row);
    // Of the others each call has an event of its own, and many make one alert.
    if (alert.type === 'budget.warning' || alert.type === 'budget.exceeded') events.emit(alert.type, alert);
    webhooks.post(alert);
  }

  function onNotice(notice: StoreNotice): void {
    switch (notice.type) {
      case 'changed':
        principals.forget(notice.scopeId);
        break;
      case 'missed':
        principals.doubtAll();
        break;
      case 'corrupt':
        onCorrupt(notice.scopeId);
        break;
      case 'abandoned':
        alerts.onCharged(notice.event.keyId, notice.charged);
        alerts.onCall('hold.abandoned', notice.event);
        events.emit('hold.abandoned', shownUsageEvent(notice.event));
        break;
      case 'clock_jump':
        logger.warn(`The store's clock stepped back; ${notice.limitId} of ${notice.scopeId} starts again`);
    }
  }

  const retries = createRetries({ logger, now });
  const alertRetries = createRetries({
    logger,
    now,
    words: { one: 'An alert', many: 'alerts', loss: 'it is told with a later call' },
  });
  const lastSeen = createLastSeen();
  const localLedger = createLocalLedger(lastSeen);
  const circuits = createStoreState({
    name: store.name,
    now,
    withDeadline,
    events,
    logger,
    onLedgerUp() {
      localLedger.reset();
      retries.hurry();
      alertRetries.hurry();
    },
  });
  const principals = createPrincipals({ store, now, cacheMs, circuit: circuits.records, onCorrupt });
  const queries = createKeyQueries({ store, now, withDeadline, withReportDeadline, mirror, onCorrupt });
  const quotaSettings = createQuotaSettings({ store, options, withDeadline });
  const context: ServiceContext = {
    store,
    options,
    secrets,
    pricing,
    principals,
    hooks,
    mirror,
    events,
    now,
    withDeadline,
    withReportDeadline,
    findRecord: queries.findRecord,
    shown: queries.shown,
    shownAll: queries.shownAll,
    auditView: queries.auditView,
    quotas: quotaSettings.inForce,
    forget: principals.forget,
  };
  const denials = createDenials(cacheMs);
  const alerts = createAlerts({ store, principals, retries: alertRetries, now, circuits, onAlert });
  const acts = createRepeatedActs({ circuit: circuits.ledger, now });
  const settlements = createSettlements({
    store,
    pricing,
    events,
    alerts,
    retries,
    circuit: circuits.ledger,
    acts,
    localLedger,
    now,
    onEnded: denials.callEnded,
  });
  const admissions = createAdmissions({
    store,
    now,
    withDeadline,
    withReportDeadline,
    circuit: circuits.ledger,
    denials,
    lastSeen,
    localLedger,
    leaseMs,
    onAbandoned,
    forget: principals.forget,
    onOutdated: createOutdatedRecords({ events, logger, now }),
    onGranted: createLastUsed({ store, now }),
    giveUp: settlements.giveUp,
  });
  const verify = createVerification({ secrets, principals, now });
  const verifyRemembered = createRememberedVerification({ secrets, principals, now });
  const outages = createOutages({ lastSeen, verifyRemembered });
  const policies = createPolicies(context);
  const direct = createDirectAdmissions(context, admissions);

  const leaveStore = store.open({ clock: options.clock, logger, onNotice });
  const sweeping = setInterval(() => {
    Promise.resolve(store.sweep(sweepAtMost)).catch(() => undefined);
  }, sweepEveryMs);
  sweeping.unref();

  const service: VirtualKeys = {
    create: createKeyCreation(context),
    ...createKeyChanges(context),
    ...createKeyRemoval(context),
    resetSpend: createSpendReset(context),
    get: queries.get,
    list: queries.list,
    count: queries.count,
    usage: queries.usage,
    audit: queries.audit,
    alerts: queries.alerts,
    setPolicy: policies.setPolicy,
    getPolicy: policies.getPolicy,
    getDefaults: quotaSettings.get,
    setDefaults: quotaSettings.set,
    balance: createBalances(context),
    admit: direct.admit,
    extend: direct.extend,
    recordUsage: createExternalUsage(context, alerts, acts),
    async verify(secret) {
      if (typeof secret !== 'string') return { valid: false, reason: 'malformed' };
      const verification = await verify(secret);
      if (!verification.valid) return verification;
      return { valid: true, key: await queries.shown(verification.principal.key) };
    },
    async settle(hold, usage) {
      const { state, event } = await settlements.settle(parseHold(hold), { ...parseUsage(usage), source: 'reported' });
      return { state, costUsd: usd(event?.costNanoUsd ?? 0) };
    },
    cancel: async (hold) => settlements.cancel(parseHold(hold)),
    renew: async (hold) => ({ state: await settlements.renew(parseHold(hold)) }),
    async health() {
      const answers = await withDeadline(store.ping()).then(
        () => true,
        () => false,
      );
      // A store may answer a ping and nothing else.
      const isUp = answers && !circuits.records.isOpen() && !circuits.ledger.isOpen();
      const health: Health = { store: { name: store.name, state: isUp ? 'up' : 'down' } };
      return options.webhooks.length === 0 ? health : { ...health, webhooks: webhooks.health() };
    },
    on: events.on,
    addHook: hooks.add,
    async close(options) {
      const { timeoutMs = 5000 } = parseCloseOptions(options);
      clearInterval(sweeping);
      const endMs = performance.now() + timeoutMs;
      const leftMs = () => Math.max(0, endMs - performance.now());
      await retries.settled(leftMs());
      // What was settled may have reached a threshold: first its key is looked for, then the alert is stored.
      await alertRetries.settled(leftMs());
      await alertRetries.settled(leftMs());
      leaveStore();
      await webhooks.close(leftMs());
    },
  };
  return attachInternals(service, {
    ...context,
    verify,
    admissions,
    settlements,
    outages,
    guessing: createGuessing(now),
    ...createKeyImport(context),
  });
}
