import type { ScopeId } from '../../limits/limit.ts';
import type { CombinableLedger } from '../combinable.ts';
import type { Ledger, StoreNotice } from '../store.ts';
import type { RedisClient } from './client.ts';
import { createAskOnce } from './closings.ts';
import { createAccounting } from './ledger/accounting.ts';
import { givenInstants, type LedgerContext } from './ledger/acts.ts';
import { createAdmitting } from './ledger/admitting.ts';
import { createEnding } from './ledger/ending.ts';
import { createUsageEvents } from './ledger/events.ts';
import { createFencing } from './ledger/fencing.ts';
import { createLeases } from './ledger/leases.ts';
import { ledgerNames } from './ledger/names.ts';
import { createFenceCopies } from './ledger/spread/fence-copies.ts';
import { createParts } from './ledger/spread/parts.ts';
import { createUsageSums } from './ledger/sums.ts';
import { asked, createScriptRunner } from './script.ts';

const dayMs = 86_400_000;

export interface RedisLedgerOptions {
  readonly client: RedisClient;
  readonly prefix: string;
  /** The time to give to scripts, in tests; `undefined`: they read the clock of Redis. */
  readonly givenMs: () => number | undefined;
  readonly notify: (notice: StoreNotice) => void;
  /** Is told of a line of usage that somebody edited into nonsense. */
  readonly onUnreadable: (stream: string, id: string) => void;
  /** The latest usage events that are kept; for up to a minute there may be as many of each shard. */
  readonly maxUsageEvents: number;
  /** How long sums of usage are kept. */
  readonly usageRetentionMs: number;
}

/** Counters, holds and usage in Redis. Every act is one script, and so atomic. */
export interface RedisLedger extends Ledger, Pick<CombinableLedger, 'fence' | 'trimUsage' | 'countUsage'> {
  /** Forgets the oldest usage events of each shard where all together have more than are kept. */
  boundUsage(): Promise<void>;
  now(): Promise<number>;
}

export function createRedisLedger(options: RedisLedgerOptions): RedisLedger {
  const { client, prefix, givenMs, notify, onUnreadable, maxUsageEvents, usageRetentionMs } = options;
  const run = createScriptRunner(client);
  const names = ledgerNames(prefix, { isSpread: client.isCluster });
  const context: LedgerContext = {
    run,
    names,
    givenInstant: givenInstants(givenMs),
    notify,
    usageBounds: [`${maxUsageEvents}`, `${usageRetentionMs}`],
  };

  async function now(): Promise<number> {
    const given = givenMs();
    if (given !== undefined) return given;
    const [seconds, micros] = await asked(() => client.time());
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
  }

  async function drawNonce(scopeId: ScopeId, candidate: string): Promise<string> {
    const name = names.nonce(scopeId);
    const isDrawn = await asked(() => client.set(name, candidate, 'PX', dayMs, 'NX'));
    return isDrawn ? candidate : ((await asked(() => client.get(name))) ?? candidate);
  }

  const askOnce = createAskOnce(client);
  const isAlready = ({ state }: { readonly state: string }) => state === 'already';
  const parts = createParts(context);
  const copies = createFenceCopies(context);
  const leases = createLeases(context, parts);
  const admitting = createAdmitting({ context, expiry: leases, parts, copies, drawNonce });
  const ending = createEnding(context, parts);
  const fencing = createFencing(context, copies);
  const accounting = createAccounting(context, now);
  const lines = createUsageEvents({ client, names, onUnreadable });
  const sums = createUsageSums(client, context);

  return {
    admit: admitting.admit,
    extend: admitting.extend,
    settle: (request) => askOnce(() => ending.settle(request), isAlready),
    cancel: ending.cancel,
    fence: fencing.fence,
    seed: fencing.seed,
    adjust: accounting.adjust,
    record: (event, plan) => askOnce(() => accounting.record(event, plan), isAlready),
    balances: accounting.balances,
    renew: leases.renew,
    sweep: leases.sweep,
    usage: (query) => asked(() => sums(query)),
    usageEvents: (after, limit) => asked(() => lines.usageEvents(after, limit)),
    trimUsage: (until) => asked(() => lines.trimUsage(until)),
    countUsage: () => asked(lines.countUsage),
    boundUsage: () => asked(() => lines.keepLatest(maxUsageEvents)),
    now,
  };
}
