import assert from 'node:assert/strict';
import type { CombinableRecords } from '../../../lib/stores/combinable.ts';
import { postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import type { Store } from '../../../lib/stores/store.ts';
import { until } from '../../support/fleet/until.ts';
import { fillBareTables } from '../../support/services/bare-tables.ts';
import { createPlannedSchema, type PlannedSchema } from '../../support/services/postgres-plans.ts';

/** A million, such as `LIST_ROWS=1000000`, takes minutes to make. */
const rowCount = Number(process.env.LIST_ROWS ?? 30_000);

const ask: { readonly [name: string]: (store: Store) => Promise<unknown> } = {
  'a key': (store) => store.findKey('key-77'),
  'a key by its secret': (store) => store.findKeyByHash(['hash-77', 'other']),
  'all keys': (store) => store.listKeys({}, { limit: 20 }),
  'keys after a cursor': async (store) => {
    const { nextCursor } = await store.listKeys({}, { limit: 20 });
    return store.listKeys({}, { limit: 20, cursor: nextCursor ?? '' });
  },
  'keys by the number of a page': (store) => store.listKeys({}, { limit: 20, page: 100 }),
  'keys of owners': (store) => store.listKeys({ ownerIds: ['owner-7', 'owner-8'] }, { limit: 20 }),
  'keys of a team': (store) => store.listKeys({ teamIds: ['team-7'] }, { limit: 20 }),
  'keys with a rare tag': (store) => store.listKeys({ tag: 'tag-7' }, { limit: 20 }),
  'keys with rare models': (store) => store.listKeys({ models: ['model-7', 'model-8'] }, { limit: 20 }),
  'active keys': (store) => store.listKeys({ status: 'active' }, { limit: 20 }),
  'disabled keys': (store) => store.listKeys({ status: 'disabled' }, { limit: 20 }),
  'expired keys': (store) => store.listKeys({ status: 'expired' }, { limit: 20 }),
  'revoked keys': (store) => store.listKeys({ status: 'revoked' }, { limit: 20 }),
  'keys by status, counted': (store) => store.countKeys({}),
  'keys of an owner, counted': (store) => store.countKeys({ ownerIds: ['owner-7'] }),
  'the audit log': (store) => store.listAudit({}, { limit: 20 }),
  'the audit log of a key': (store) => store.listAudit({ targets: ['key:key-7'] }, { limit: 20 }),
  'the audit log of an action': (store) => store.listAudit({ action: 'key.deleted' }, { limit: 20 }),
  'all alerts': (store) => store.listAlerts({}, { limit: 20 }),
  'alerts of a type': (store) => store.listAlerts({ types: ['hold.lost'] }, { limit: 20 }),
  'alerts of a scope': (store) => store.listAlerts({ scopeIds: ['key:key-7'] }, { limit: 20 }),
  'alerts of an owner': (store) => store.listAlerts({ ownerIds: ['owner-7'] }, { limit: 20 }),
  'alerts of a team': (store) => store.listAlerts({ teamIds: ['team-7'] }, { limit: 20 }),
  'the outbox': (store) => store.readOutbox(20),
  'rows of the outbox to claim': (store) => store.claimOutbox(20, 60_000),
  'the backlog of the outbox': (store) => store.outboxBacklog(),
  'rows of some keys to claim': (store) => store.claimOutbox(20, 60_000, ['key-7', 'key-77']),
  'a policy': (store) => store.findPolicy('user:owner-7'),
  'fences that are pending': (store) => (store as CombinableRecords).pendingFences(100),
  'twins of keys': (store) => store.findTwins(['key-7', 'key-77']),
  'twins by state, counted': (store) => store.countTwins(),
};

const filled = ['keys', 'key_models', 'policies', 'audit', 'alerts', 'outbox', 'fences', 'twins'];

const fill = `
insert into keys (id, name, alias, owner_id, team_id, prefix, secret_hash, tags, settings, metadata, search_text,
  expires_at_ms, disabled_at_ms, revoked_at_ms, version, revision, created_at_ms, updated_at_ms)
select 'key-' || n, 'Key ' || n, 'key_' || n, 'owner-' || n % (:rows / 50), 'team-' || n % (:rows / 500), 'sk-llm-a…wxyz',
  'hash-' || n, array['tag-' || n % 1000],
  '{"rpmLimit":60,"tpmLimit":null,"rpdLimit":null,"tpdLimit":null,"maxParallelRequests":null,"maxTokensPerRequest":null,
    "maxBudgetNanoUsd":5000000000,"softBudgetNanoUsd":null,"budgetDuration":"monthly","budgets":[],"modelLimits":[],
    "endpoints":null,"rateLimitEnabled":true,"rateLimitPreset":null,"allowedIps":null,
    "permissions":{"allowChatCompletions":true,"allowEmbeddings":true,"allowCompletions":true}}',
  '{}', 'key ' || n, case when n % 50 = 1 then 5 end, case when n % 50 = 2 then 5 end, case when n % 50 = 3 then 5 end,
  1, n, n, n
from generate_series(1, :rows) n;
insert into key_models select 'key-' || n, 1, 'gpt-4o' from generate_series(1, :rows) n;
insert into key_models select 'key-' || n, 2, 'model-' || n % 1000 from generate_series(1, :rows) n;
insert into audit (id, target, action, actor, before, after, at_ms)
select 'a' || n, 'key:key-' || n % 1000, case when n % 1000 = 0 then 'key.deleted' else 'key.updated' end, '{"id":"a"}',
  to_json(repeat('before ', 50)), to_json(repeat('after ', 50)), n
from generate_series(1, :rows) n;
insert into alerts (id, type, scope_id, owner_id, team_id, key_id, budget, at_ms)
select 'a' || n, case when n % 500 = 0 then 'hold.lost' else 'budget.warning' end, 'key:key-' || n % 1000,
  'owner-' || n % 500, 'team-' || n % 500, 'key-' || n % 1000, to_json(repeat('budget ', 50)), n
from generate_series(1, :rows) n;
insert into policies (scope_id, settings, version, revision, created_at_ms, updated_at_ms)
select 'user:owner-' || n, '{}', 1, n, n, n from generate_series(1, :rows) n;
insert into fences (scope_id, revision, is_new, is_closed, carries)
select 'key:key-' || n, n, false, false, '[]' from generate_series(1, :rows) n;
insert into outbox select 'key-' || n, 'o' || n, n, n, n, case when n % 100 > 0 then 9e15 else n end
from generate_series(1, :rows) n;
insert into twins select 'key-' || n, case when n % 1000 = 0 then 'error' else 'synced' end, to_json(repeat('twin ', 100)), 1
from generate_series(1, :rows) n`;

describe('the lists of postgresStore', function () {
  this.timeout(rowCount > 100_000 ? 600_000 : 60_000);
  let tables: PlannedSchema;
  let store: Store;

  before(async () => {
    tables = await createPlannedSchema();
    await fillBareTables(tables, fill.replaceAll(':rows', String(rowCount)));
    for (const table of filled) await until(`The vacuum of ${table}`, () => isVacuumed(table), Boolean);
    store = postgresStore({ knex: tables.knex, schema: tables.schema });
    await store.ping();
  });

  after(async () => {
    await store.close();
    await tables.drop();
  });

  /** Rows that a transaction elsewhere in the server may not see yet are not known to be visible to all. */
  async function isVacuumed(table: string): Promise<boolean> {
    await tables.knex.raw('vacuum analyze ??', [`${tables.schema}.${table}`]);
    const [row] = await tables.run<{ done: boolean }>(
      'select relallvisible = relpages as done from pg_class where oid = ?::regclass',
      [table],
    );
    return row?.done === true;
  }

  for (const [name, question] of Object.entries(ask)) {
    it(`find ${name} by an index`, async function () {
      const { plans, summary } = await tables.measure(() => question(store));
      if (this.test !== undefined) this.test.title += ` (${summary})`;
      assert.ok(plans.length > 0);
      for (const plan of plans) assert.doesNotMatch(plan, /Seq Scan/, plan);
    });
  }

  it('find a page by an index also where nearly all keys match, or no index can tell which', async () => {
    for (const filter of [{ models: ['gpt-4o'] }, { search: 'key' }]) {
      const plans = await tables.plansOf(() => store.listKeys(filter, { limit: 20 }));
      const page = plans.find((plan) => plan.includes('Limit')) ?? assert.fail('no page');
      assert.match(page, /Index Scan Backward using keys_by_creation/);
      assert.doesNotMatch(page, /Seq Scan/);
    }
  });

  it('ask as many questions for a hundred keys as for one', async () => {
    const forOne = await tables.asked(() => store.listKeys({}, { limit: 1 }));
    const forHundred = await tables.asked(() => store.listKeys({}, { limit: 100 }));
    assert.deepEqual([forHundred.length, forOne.length > 0], [forOne.length, true]);
  });
});
