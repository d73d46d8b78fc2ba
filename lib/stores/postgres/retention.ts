import type { Logger } from '../store.ts';
import type { PostgresConnection } from './connection.ts';

const dayMs = 86_400_000;
const minuteMs = 60_000;
const firstAfterMs = minuteMs;
const everyMs = 10 * minuteMs;

/** Rows that go in one statement, and statements of one round: what is left goes with the next. */
const forgottenAtOnce = 1000;
const maxSteps = 100;

const tables = ['usageEvents', 'usageSums', 'alerts', 'audit', 'outbox'] as const;

/** For how many days rows are kept; without a number, for ever. */
export interface RetentionDays {
  /** Lines of the usage record. The sums by the hour stay, and with them what `usage` answers. */
  readonly usageEvents?: number | undefined;
  /**
   * Sums of usage by the hour. `usage` knows nothing of older ones; and a budget whose counters were lost, or that is new,
   * opens with what is left of its period: keep them for longer than any period is, and for ever with `total` budgets.
   */
  readonly usageSums?: number | undefined;
  /** An alert that was forgotten may be told again. */
  readonly alerts?: number | undefined;
  readonly audit?: number | undefined;
  /** Rows of the outbox that came due and that nobody has claimed since, as after a mirror was given up. */
  readonly outbox?: number | undefined;
}

export interface RetentionOptions {
  readonly connection: PostgresConnection;
  readonly days: RetentionDays;
  readonly now: () => Promise<number>;
}

/** @throws TypeError for anything but whole days of these rows */
export function checkRetention(days: RetentionDays): RetentionDays {
  for (const [name, value] of Object.entries(days)) {
    if (!tables.some((table) => table === name)) {
      throw new TypeError(`postgresStore: retentionDays.${name} is unknown; there are ${tables.join(', ')}`);
    }
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1)) {
      throw new TypeError(`postgresStore: retentionDays.${name} must be a whole number from 1`);
    }
  }
  return days;
}

/** Forgets what was kept long enough, the oldest first, in steps of which none takes long. */
export async function forgetOld({ connection, days, now }: RetentionOptions): Promise<void> {
  const nowMs = await now();
  const statements = forgetting(connection.schema);
  for (const table of tables) {
    const keptDays = days[table];
    if (keptDays === undefined) continue;
    for (let step = 0; step < maxSteps; step += 1) {
      const [row] = await connection.query<{ forgotten: string }>(statements[table], [nowMs - keptDays * dayMs]);
      if (Number(row?.forgotten) < forgottenAtOnce) break;
    }
  }
}

/** In the order of their numbers, which is nearly that of time: so nothing is searched for. */
function oldest(table: string): string {
  return `select sequence, at_ms from ${table} order by sequence limit ${forgottenAtOnce}`;
}

function forgetting(schema: string): { readonly [table in (typeof tables)[number]]: string } {
  return {
    // Up to the first line that is kept, since those who read on pass over all that is before the mark.
    usageEvents: `with oldest as materialized (${oldest(`${schema}.usage_events`)}),
forgotten as (delete from ${schema}.usage_events where sequence in (select sequence from oldest
  where sequence < coalesce((select min(sequence) from oldest where at_ms >= $1), sequence + 1)) returning sequence),
marked as (insert into ${schema}.usage_trim (sequence) select max(sequence) from forgotten having count(*) > 0
  on conflict (is_only) do update set sequence = greatest(usage_trim.sequence, excluded.sequence))
select count(*) as forgotten from forgotten`,
    usageSums: `with forgotten as (delete from ${schema}.usage_hours where id in (select id from ${schema}.usage_hours
  where hour_ms < $1 order by hour_ms limit ${forgottenAtOnce} for update skip locked) returning id)
select count(*) as forgotten from forgotten`,
    outbox: `with forgotten as (delete from ${schema}.outbox where key_id in (select key_id from ${schema}.outbox
  where claimable_from_ms < $1 order by claimable_from_ms, sequence limit ${forgottenAtOnce} for update skip locked)
  returning key_id)
select count(*) as forgotten from forgotten`,
    alerts: `with forgotten as (delete from ${schema}.alerts where id in (select id from ${schema}.alerts
  where at_ms < $1 order by at_ms limit ${forgottenAtOnce} for update skip locked) returning id)
select count(*) as forgotten from forgotten`,
    audit: `with forgotten as (delete from ${schema}.audit where sequence in (
  select sequence from (${oldest(`${schema}.audit`)}) as oldest where at_ms < $1) returning sequence)
select count(*) as forgotten from forgotten`,
  };
}

/**
 * Forgets now and then, as long as the process runs; any number of processes may.
 *
 * @returns ends it
 */
export function startForgetting(options: RetentionOptions & { readonly logger: Logger }): () => Promise<void> {
  let isClosed = false;
  let forgetting = Promise.resolve();
  let timer = later(firstAfterMs);

  async function forget(): Promise<void> {
    try {
      await forgetOld(options);
    } catch (error) {
      options.logger.warn(`Old rows are kept for now: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (!isClosed) timer = later(everyMs);
  }

  function later(afterMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      forgetting = forget();
    }, afterMs).unref();
  }

  return async () => {
    isClosed = true;
    clearTimeout(timer);
    await forgetting;
  };
}
