import { refuseUnknownOptions } from '../../options.ts';
import type { CombinableLedger } from '../combinable.ts';
import type { Clock, StoreEnvironment, StoreNotice } from '../store.ts';
import { listenForChanges } from './change-listener.ts';
import { checkClient, checkPrefix, type RedisClient } from './client.ts';
import { warnOfEviction } from './eviction-warning.ts';
import { createRedisLedger } from './ledger.ts';
import { createRecordConnection } from './records/record-connection.ts';
import { createRedisRecords } from './records/records.ts';
import { asked } from './script.ts';

export interface RedisStoreOptions {
  /**
   * A client of ioredis 5 or 6, of Redis 6.2 or newer. It stays yours: nothing here closes it. Give it
   * `enableOfflineQueue: false`, `maxRetriesPerRequest: 1` and a `commandTimeout`, so that a dead Redis fails soon.
   */
  readonly client: RedisClient;
  /** What all keys begin with; stores of another prefix share nothing. @defaultValue 'llm-keys:' */
  readonly prefix?: string | undefined;
  /**
   * The latest usage events that are kept one by one, of all keys together; sums by the hour stay. In a combined store
   * these are the ones that the archive has yet to read: what comes beyond is lost to it. @defaultValue 100,000
   */
  readonly maxUsageEvents?: number | undefined;
}

const optionNames = ['client', 'prefix', 'maxUsageEvents'];
const bounds = {
  maxAuditRows: 100_000,
  maxAlerts: 10_000,
  usageRetentionMs: 400 * 86_400_000,
};
/** Fences that could not be raised when they were due are raised at most so late after the ledger is back. */
const raiseEveryMs = 1000;
const boundEveryMs = 60_000;

/**
 * A store in Redis, shared by any number of processes: all that {@link Store} promises, as scripts that run whole or not
 * at all. It may also keep the counters of a combined store, and not the records: it is no archive of usage.
 *
 * Changes of other processes are heard of on one more connection, a duplicate of the client that `close` ends.
 *
 * @throws TypeError for an unknown option, and for a client that would lose, hide or misplace keys
 */
export function redisStore(options: RedisStoreOptions): CombinableLedger {
  refuseUnknownOptions('redisStore', options, optionNames);
  const client = checkClient(options.client);
  const prefix = checkPrefix(options.prefix ?? 'llm-keys:');
  const maxUsageEvents = checkMaxUsageEvents(options.maxUsageEvents ?? 100_000);
  const environments = new Set<StoreEnvironment>();
  let injected: Clock | undefined;
  let stopListening: (() => void) | undefined;

  const nowMs = () => injected?.();
  function notify(notice: StoreNotice): void {
    for (const { onNotice } of environments) onNotice(notice);
  }

  function onUnreadable(stream: string, id: string): void {
    for (const { logger } of environments)
      logger.error(`The usage event ${id} of ${stream} cannot be read, and is left out`);
  }

  const connection = createRecordConnection({ client, prefix, nowMs, notify });
  const ledgerOptions = { client, prefix, givenMs: nowMs, notify, onUnreadable, maxUsageEvents, ...bounds };
  const { adjust, fence, boundUsage, ...ledger } = createRedisLedger(ledgerOptions);
  const { raisePending, ...records } = createRedisRecords({ connection, raiseFence: fence, ...bounds });

  function listen(): () => void {
    const endListening = listenForChanges({ client, channel: connection.names.channel, notify });
    const raising = setInterval(() => void raisePending().catch(() => undefined), raiseEveryMs);
    raising.unref();
    const bounding = setInterval(() => void boundUsage().catch(() => undefined), boundEveryMs);
    bounding.unref();
    return () => {
      clearInterval(raising);
      clearInterval(bounding);
      endListening();
    };
  }

  function stop(): void {
    stopListening?.();
    stopListening = undefined;
  }

  return {
    name: 'redis',
    open(environment) {
      environments.add(environment);
      if (environment.clock !== undefined) injected = environment.clock;
      stopListening ??= listen();
      void warnOfEviction(client, environment.logger);
      return () => {
        environments.delete(environment);
        if (environments.size === 0) stop();
      };
    },
    ...records,
    ...ledger,
    fence,
    async adjust(adjustment) {
      await records.appendAudit(adjustment.audit);
      return adjust(adjustment);
    },
    async ping() {
      // Asked of the node that has the records: in a Cluster others may answer without it.
      await asked(() => client.exists(connection.names.defaults));
    },
    async close() {
      stop();
    },
  };
}

function checkMaxUsageEvents(given: number): number {
  if (Number.isSafeInteger(given) && given >= 1000) return given;
  throw new TypeError('redisStore: maxUsageEvents must be a whole number from 1000');
}
