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
from generate_series(1, ${rowCount}) n`;

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
      `select ${['usage_events', 'audit', 'alerts']
        .map((table) => `(select (${nowMs} - min(at_ms)) / 60000 from ${table})::int as ${table}`)
        .join(', ')}`,
    );
    return row ?? {};
  }

  it('forgets what is older, in as many steps as that takes, and nothing else', async () => {
    await forget({ usageEvents: 1 });
    assert.deepEqual(await oldest(), { usage_events: 1440, audit: rowCount, alerts: rowCount });
    await forget({ audit: 1, alerts: 1 });
    assert.deepEqual(await oldest(), { usage_events: 1440, audit: 1440, alerts: 1440 });
  });

  it('keeps everything for ever without it', async () => {
    await forget({});
    assert.deepEqual(await oldest(), { usage_events: rowCount, audit: rowCount, alerts: rowCount });
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
