import type { Knex } from 'knex';
import { refuseUnknownOptions } from '../../options.ts';
import type { CombinableLedger, CombinableRecords } from '../combinable.ts';
import type { Clock, StoreEnvironment, StoreNotice } from '../store.ts';
import { createAlertRows } from './alerts.ts';
import { createArchive } from './archive.ts';
import { createAuditLog } from './audit.ts';
import { createChangeLog } from './change-log.ts';
import { createWriteChange } from './changes.ts';
import { checkKnex, createConnection } from './connection.ts';
import { createKeyLists } from './key-lists.ts';
import { createKeys } from './keys.ts';
import { createPostgresLedger } from './ledger.ts';
import { startListener } from './listener.ts';
import { defaultSchema } from './migrate.ts';
import { readNow } from './now.ts';
import { createOutbox } from './outbox.ts';
import { createPendingFences } from './pending-fences.ts';
import { createPolicies } from './policies.ts';
import { startPoller } from './poller.ts';
import { checkRetention, type RetentionDays, startForgetting } from './retention.ts';
import { createTwins } from './twins.ts';

export interface PostgresStoreOptions {
  /** An instance of knex for Postgres 13 or newer. It stays yours: nothing here destroys it. */
  readonly knex: Knex;
  /** Where {@link migrate} has made the tables. @defaultValue 'llm_keys' */
  readonly schema?: string | undefined;
  /**
   * How changes of other processes are heard of: `listen` keeps one connection more, made of knex's settings, and polls
   * where nothing comes through it; `poll` asks every {@link pollMs} from the start, for where a pooler in transaction mode
   * is in between. @defaultValue 'listen'
   */
  readonly notifications?: 'listen' | 'poll' | undefined;
  /** @defaultValue 1000 */
  readonly pollMs?: number | undefined;
  /** For how many days events of usage, alerts and the audit log are kept. @defaultValue `{}`, for ever */
  readonly retentionDays?: RetentionDays | undefined;
}

const optionNames = ['knex', 'schema', 'notifications', 'pollMs', 'retentionDays'];

/**
 * A store in Postgres: what it has committed outlives every process, and any number of them share it. Make its tables with
 * {@link migrate} first. It may also be one half of a combined store.
 *
 * @throws TypeError for an unknown option, a client that is none of Postgres, and a schema name that is none
 */
export function postgresStore(options: PostgresStoreOptions): CombinableRecords & CombinableLedger {
  const { schema, notifications, pollMs, retentionDays, knex } = checkOptions(options);
  const connection = createConnection({ knex, schema });
  const environments = new Set<StoreEnvironment>();
  let injected: Clock | undefined;
  let hasSessions = false;
  let stopRunning: (() => Promise<void>) | undefined;
  let stopped = Promise.resolve();

  const clock = () => injected;
  const logger = () => [...environments][0]?.logger;
  const now = () => readNow(connection.query, clock);
  function notify(notice: StoreNotice): void {
    for (const { onNotice } of environments) onNotice(notice);
  }

  const audit = createAuditLog(connection, clock);
  const { write: writeOutbox, ...outbox } = createOutbox(connection, clock);
  const pendingFences = createPendingFences(connection);
  const changeLog = createChangeLog(connection.schema);
  const writeChange = createWriteChange({
    schema: connection.schema,
    audit,
    outbox: { write: writeOutbox },
    pendingFences,
    changeLog,
  });
  const policies = createPolicies({ connection, clock, audit, writeChange, notify });
  const { archivedUntil, archiveUsage } = createArchive(connection);
  const { pendingFences: readPendingFences, clearFences } = pendingFences;
  const { appendAudit, listAudit } = audit;

  function stop(): Promise<void> {
    if (stopRunning !== undefined) stopped = stopRunning();
    stopRunning = undefined;
    return stopped;
  }

  /** What goes on beside the calls, until the answer is called. */
  function run({ logger }: StoreEnvironment): () => Promise<void> {
    const hearing = { connection, changeLog, notify, logger };
    const onHeard = () => {
      hasSessions = true;
    };
    const poll = () => startPoller({ ...hearing, pollMs });
    const stopHearing = notifications === 'listen' ? startListener({ ...hearing, onHeard, pollInstead: poll }) : poll();
    const stopForgetting = startForgetting({ connection, days: retentionDays, now, logger });
    return async () => void (await Promise.all([stopHearing(), stopForgetting()]));
  }

  return {
    name: 'postgres',
    open(environment) {
      environments.add(environment);
      if (environment.clock !== undefined) injected = environment.clock;
      stopRunning ??= run(environment);
      return () => {
        environments.delete(environment);
        if (environments.size === 0) void stop();
      };
    },
    ...createKeys({ connection, clock, writeChange, notify }),
    ...createKeyLists({ connection, clock, notify }),
    ...policies,
    ...createAlertRows(connection, clock),
    ...createPostgresLedger({
      connection,
      hasSessions: () => hasSessions,
      clock,
      notify,
      logger,
      appendAudit: async (query, entry) => audit.write(query, entry, await readNow(query, clock)),
    }),
    appendAudit,
    listAudit,
    ...outbox,
    ...createTwins(connection),
    pendingFences: readPendingFences,
    clearFences,
    archivedUntil,
    archiveUsage,
    now,
    async ping() {
      await connection.query('select 1');
    },
    close: stop,
  };
}

type CompleteOptions = { readonly [name in keyof PostgresStoreOptions]-?: NonNullable<PostgresStoreOptions[name]> };

function checkOptions(options: PostgresStoreOptions): CompleteOptions {
  refuseUnknownOptions('postgresStore', options, optionNames);
  const knex = checkKnex(options.knex, 'postgresStore');
  const { schema = defaultSchema, notifications = 'listen', pollMs = 1000 } = options;
  if (notifications !== 'listen' && notifications !== 'poll') {
    throw new TypeError("postgresStore: notifications must be 'listen' or 'poll'");
  }
  if (!Number.isFinite(pollMs) || pollMs < 10) throw new TypeError('postgresStore: pollMs must be a number from 10');
  return { knex, schema, notifications, pollMs, retentionDays: checkRetention(options.retentionDays ?? {}) };
}
