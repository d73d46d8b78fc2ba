import assert from 'node:assert/strict';
import { postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import { fillBareTables } from '../../support/services/bare-tables.ts';
import { createPlannedSchema, type PlannedSchema } from '../../support/services/postgres-plans.ts';

/** Millions, such as `USAGE_ROWS=2000000`, take minutes to make. */
const rowCount = Number(process.env.USAGE_ROWS ?? 30_000);
const dayMs = 86_400_000;
const firstDayMs = 20_000 * dayMs;
const [fromMs, untilMs] = [firstDayMs + 3 * dayMs, firstDayMs + 5 * dayMs];

type Store = ReturnType<typeof postgresStore>;

const ask: { readonly [name: string]: (store: Store) => Promise<unknown> } = {
  'the usage of a key by day': (store) => store.usage({ keyId: 'key-7', groupBy: ['day'] }),
  'the usage of a key in some days': (store) => store.usage({ keyId: 'key-7', fromMs, untilMs, groupBy: ['model'] }),
  'the usage of an owner': (store) => store.usage({ ownerIds: ['owner-7'], groupBy: ['key'] }),
  'the usage of owners in some days': (store) =>
    store.usage({ ownerIds: ['owner-7', 'owner-8'], fromMs, untilMs, groupBy: ['day'] }),
  'the usage of a team': (store) => store.usage({ teamIds: ['team-7'], groupBy: ['owner', 'day'] }),
  'the usage of a model': (store) => store.usage({ model: 'model-7', groupBy: ['day'] }),
  'the usage of everybody in an hour': (store) =>
    store.usage({ fromMs, untilMs: fromMs + 1, groupBy: ['team', 'endpoint'] }),
  'events from the beginning': (store) => store.usageEvents(null, 500),
  'events after a cursor': (store) => store.usageEvents(String(rowCount / 2), 500),
  'events to forget': (store) => store.trimUsage('100'),
};

const fill = `
insert into usage_events (hold_id, call_id, at_ms, key_id, owner_id, team_id, model, endpoint, source, requests,
  input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_nano_usd)
select md5(n::text), '', ${firstDayMs} + n * (30 * ${dayMs}::bigint / :rows), 'key-' || k, 'owner-' || k % (:rows / 200),
  'team-' || k % (:rows / 500), 'model-' || n % 100, '/v1/chat/completions', 'reported', 1, n, n, 0, 0, n
from generate_series(1, :rows) n, lateral (select n * 48271::bigint % (:rows / 100)) as scattered (k);
insert into usage_hours (id, hour_ms, key_id, owner_id, team_id, model, endpoint, requests, input_tokens, output_tokens,
  cache_read_tokens, cache_write_tokens, cost_nano_usd, adjusted_nano_usd)
select md5(random()::text || min(hold_id)), at_ms / 3600000 * 3600000, key_id, owner_id, team_id, model, endpoint, count(*),
  sum(input_tokens), sum(output_tokens), 0, 0, sum(cost_nano_usd), 0
from usage_events group by 2, 3, 4, 5, 6, 7 order by 2`;

describe('the usage record of postgresStore', function () {
  this.timeout(rowCount > 100_000 ? 1_200_000 : 60_000);
  let tables: PlannedSchema;
  let store: Store;

  before(async () => {
    tables = await createPlannedSchema();
    await fillBareTables(tables, fill.replaceAll(':rows', String(rowCount)));
    for (const table of ['usage_events', 'usage_hours']) {
      await tables.knex.raw('vacuum analyze ??', [`${tables.schema}.${table}`]);
    }
    store = postgresStore({ knex: tables.knex, schema: tables.schema });
    await store.ping();
  });

  after(async () => {
    await store.close();
    await tables.drop();
  });

  for (const [name, question] of Object.entries(ask)) {
    it(`finds ${name} by an index`, async function () {
      const { plans, summary } = await tables.measure(() => question(store));
      if (this.test !== undefined) this.test.title += ` (${summary})`;
      assert.ok(plans.length > 0);
      for (const plan of plans) assert.doesNotMatch(plan, /Seq Scan on usage_(events|hours)/, plan);
    });
  }

  it('forgets as many events as it is told to, and reads on after them', async () => {
    await store.trimUsage('12000');
    const [left] = await tables.run<{ first: string; count: string }>(
      'select min(sequence) as first, count(*) from usage_events',
    );
    assert.deepEqual(left, { first: '12001', count: String(rowCount - 12_000) });
    const { events, cursor } = await store.usageEvents('7', 3);
    assert.deepEqual([events.map(({ inputTokens }) => inputTokens), cursor], [[12_001, 12_002, 12_003], '12003']);
  });
});
