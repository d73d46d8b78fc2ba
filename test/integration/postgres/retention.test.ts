import assert from 'node:assert/strict';
import { createConnection } from '../../../lib/stores/postgres/connection.ts';
import { postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import { forgetOld } from '../../../lib/stores/postgres/retention.ts';
import { createPostgresSchema, type PostgresSchema } from '../../support/services/postgres-schema.ts';

const dayMs = 86_400_000;
const nowMs = 20_000 * dayMs;
const rowCount = 2500;

/** One row each minute of the last days, the newest a minute ago. */
const fill = `
insert into usage_events (hold_id, call_id, at_ms, key_id, source, requests,
  input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_nano_usd)
select 'hold-' || n, '', ${nowMs} - (${rowCount} + 1 - n) * 60000::bigint, 'k', 'reported', 1, n, 0, 0, 0, 1
from generate_series(1, ${rowCount}) n;
insert into audit (id, target, action, actor, at_ms)
select 'a' || n, 'key:k', 'key.updated', '{}', ${nowMs} - (${rowCount} + 1 - n) * 60000::bigint
from generate_series(1, ${rowCount}) n;
insert into alerts (id, type, scope_id, key_id, at_ms)
select 'a' || n, 'hold.lost', 'key:k', 'k', ${nowMs} - (${rowCount} + 1 - n) * 60000::bigint
from generate_series(1, ${rowCount}) n;
insert into outbox (key_id, id, sequence, revision, at_ms, due_at_ms)
select 'k' || n, 'o' || n, n, 1, 1, ${nowMs} - (${rowCount} + 1 - n) * 60000::bigint from generate_series(1, ${rowCount}) n;
insert into usage_hours (id, hour_ms, key_id, requests, input_tokens, output_tokens, cache_read_tokens,
  cache_write_tokens, cost_nano_usd, adjusted_nano_usd)
select 'h' || n, ${nowMs} - (${rowCount} + 1 - n) * 60000::bigint, 'k', 1, n, 0, 0, 0, 1, 0
from generate_series(1, ${rowCount}) n`;

const all = {
  usage_events: rowCount,
  usage_hours: rowCount,
  audit: rowCount,
  alerts: rowCount,
  outbox: rowCount,
};
const timeOf = { usage_events: 'at_ms', usage_hours: 'hour_ms', audit: 'at_ms', alerts: 'at_ms', outbox: 'due_at_ms' };

describe('retentionDays of postgresStore', () => {
  let tables: PostgresSchema;

  before(async () => {
    tables = await createPostgresSchema();
  });

  beforeEach(async () => {
    await tables.empty();
    await tables.run(fill);
  });

  after(() => tables.drop());

  const forget = (days: Parameters<typeof forgetOld>[0]['days']) =>
    forgetOld({ connection: createConnection(tables), days, now: async () => nowMs });

  async function oldest(): Promise<object> {
    const [row] = await tables.run<object>(
      `select ${Object.entries(timeOf)
        .map(([table, time]) => `(select (${nowMs} - min(${time})) / 60000 from ${table})::int as ${table}`)
        .join(', ')}`,
    );
    return row ?? {};
  }

  it('forgets what is older, in as many steps as that takes, and nothing else', async () => {
    await forget({ usageEvents: 1 });
    assert.deepEqual(await oldest(), { ...all, usage_events: 1440 });
    await forget({ audit: 1, alerts: 1 });
    assert.deepEqual(await oldest(), { ...all, usage_events: 1440, audit: 1440, alerts: 1440 });
    await forget({ usageSums: 1, outbox: 1 });
    assert.deepEqual(await oldest(), {
      usage_events: 1440,
      usage_hours: 1440,
      audit: 1440,
      alerts: 1440,
      outbox: 1440,
    });
  });

  it('keeps rows of the outbox that somebody has, or that come due later', async () => {
    await tables.run(`update outbox set lease_id = 'l', lease_ends_at_ms = ${nowMs} + 1 where sequence = 1`);
    await tables.run(`update outbox set due_at_ms = ${nowMs} + 1 where sequence = 2`);
    await forget({ outbox: 1 });
    const kept = await tables.run<{ sequence: string }>('select sequence from outbox order by sequence limit 3');
    assert.deepEqual(
      kept.map(({ sequence }) => Number(sequence)),
      [1, 2, rowCount - 1439],
    );
  });

  it('keeps everything for ever without it', async () => {
    await forget({});
    assert.deepEqual(await oldest(), all);
  });

  it('lets those who read usage on pass over what is gone, and hides nothing that is kept', async () => {
    await tables.run(`update usage_events set at_ms = ${nowMs} where sequence = 5`);
    await forget({ usageEvents: 1 });
    const store = postgresStore({ knex: tables.knex, schema: tables.schema });
    const first = await store.usageEvents(null, 1);
    assert.deepEqual([first.events.map(({ holdId }) => holdId), first.cursor], [['hold-5'], '5']);
    await tables.run('delete from usage_events where sequence = 5');
    await forget({ usageEvents: 1 });
    const { events } = await store.usageEvents('5', 1);
    assert.deepEqual(
      events.map(({ holdId }) => holdId),
      [`hold-${rowCount - 1439}`],
    );
  });

  it('is refused unless it is whole days of rows that there are', () => {
    const { knex } = tables;
    for (const days of [0, 1.5, -1, Number.NaN]) {
      assert.throws(() => postgresStore({ knex, retentionDays: { audit: days } }), {
        name: 'TypeError',
        message: 'postgresStore: retentionDays.audit must be a whole number from 1',
      });
    }
    const unknown = { holds: 1 } as object;
    assert.throws(() => postgresStore({ knex, retentionDays: unknown }), /retentionDays.holds is unknown/);
  });
});
