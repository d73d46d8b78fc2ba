import assert from 'node:assert/strict';
import { createVirtualKeys, type VirtualKeys } from '../../../lib/index.ts';
import { eventually } from '../../support/eventually.ts';
import { admittedOf, call, createKey, spend, type TestLog, testLog } from '../../support/service.ts';
import { type SharedStore, sharedStores } from '../../support/shared-stores.ts';

for (const [name, open] of sharedStores) {
  describe(`Rows of ${name} that were edited into nonsense`, () => {
    let shared: SharedStore;
    let keys: VirtualKeys;
    let log: TestLog;

    beforeEach(async () => {
      shared = await open();
      log = testLog();
      keys = createVirtualKeys({ store: shared.connect(), cacheMs: 0, logger: log });
    });

    afterEach(async () => {
      await keys.close();
      await shared.close();
    });

    const run = (sql: string, bindings: readonly string[] = []) => shared.tables.run(sql, bindings);
    const isAdmitted = async (keyId: string) => (await admittedOf([keys.admit(call(keyId))])) === 1;

    it('of a key deny it alone, and are told', async () => {
      const [{ key: broken, secret }, { key: whole }] = [await createKey({ keys }), await createKey({ keys })];
      const corrupt: object[] = [];
      keys.on('record.corrupt', (event) => corrupt.push(event));
      const before = await run('select settings from keys where id = ?', [broken.id]);
      for (const column of ['created_at_ms', 'updated_at_ms', 'expires_at_ms', 'last_used_at_ms']) {
        const [kept] = await shared.tables.run<{ value: string }>(`select ${column} as value from keys where id = ?`, [
          broken.id,
        ]);
        for (const moment of ['-5', '9000000000000000', '9223372036854775807']) {
          await run(`update keys set ${column} = ?::bigint where id = ?`, [moment, broken.id]);
          assert.equal(await isAdmitted(broken.id), false, `${column} ${moment}`);
          assert.equal((await keys.list()).items.length, 1);
        }
        await run(`update keys set ${column} = ${kept?.value} where id = ?`, [broken.id]);
      }
      for (const settings of ['null', '7', '[]', '{"rpmLimit":"many"}', '{"budgets":{"a":1}}']) {
        await run('update keys set settings = ?::jsonb where id = ?', [settings, broken.id]);
        assert.equal(await isAdmitted(broken.id), false, settings);
        assert.equal((await keys.verify(secret)).valid, false);
        await assert.rejects(keys.get(broken.id), { code: 'key_not_found' });
      }
      assert.equal(await isAdmitted(whole.id), true);
      assert.equal((await keys.list()).items.length, 1);
      assert.deepEqual(corrupt[0], { scope: 'key', id: broken.id });
      assert.equal(log.lines[0], `error: The record of key:${broken.id} cannot be read; it denies until it is mended`);
      const [row] = before as readonly { readonly settings: object }[];
      await run('update keys set settings = ?::jsonb where id = ?', [JSON.stringify(row?.settings), broken.id]);
      assert.equal(await isAdmitted(broken.id), true);
    });

    it('of a policy deny the keys under it, until it is set anew', async () => {
      await keys.setPolicy({ team: 'red' }, { rpmLimit: 10 });
      const [{ key: red }, { key: blue }] = [
        await createKey({ keys }, { teamId: 'red' }),
        await createKey({ keys }, { teamId: 'blue' }),
      ];
      await run(`update policies set settings = '{"rpmLimit": -1}', models = array[null]`);
      assert.equal(await isAdmitted(red.id), false);
      assert.equal(await isAdmitted(blue.id), true);
      assert.match(log.lines[0] ?? '', /^error: The record of team:red cannot be read/);
      await keys.setPolicy({ team: 'red' }, { rpmLimit: 10 });
      assert.equal(await isAdmitted(red.id), true);
    });

    it('of the defaults let no key be made, stop none that is there, and are mended by new ones', async () => {
      const { key } = await createKey({ keys });
      await keys.setDefaults({ defaults: { rpmLimit: 5 } });
      for (const defaults of ['null', '7', '{"rpmLimit":"many"}', '{"odd":1}']) {
        await run('update defaults set defaults = ?::json', [defaults]);
        await assert.rejects(createKey({ keys }), {
          code: 'store_unavailable',
          message: 'The stored defaults cannot be read: set them anew',
        });
        assert.equal(await isAdmitted(key.id), true);
      }
      await keys.setDefaults({ defaults: { rpmLimit: 6 } });
      assert.equal((await createKey({ keys })).key.rpmLimit, 6);
    });

    it('of history are shown as far as they can be, and hide no other', async () => {
      const { key } = await createKey({ keys }, { maxBudget: 1 });
      await spend(keys, key.id, 0.96);
      await eventually(async () => (await keys.alerts()).total > 0, 'An alert');
      const { total } = await keys.alerts();
      await run(
        `insert into alerts (id, type, scope_id, key_id, budget, at_ms) values ('odd', 'odd', 'odd', '', '7', -5)`,
      );
      await run(`insert into alerts (id, type, scope_id, key_id, budget, at_ms)
values ('null', 'budget.warning', 'team:', '', 'null', 5), ('empty', 'budget.exceeded', '', '', '{}', 6),
('late', 'hold.lost', 'global', '', null, 9000000000000000)`);
      await run(`insert into audit (id, target, action, actor, before, at_ms)
values ('', '', '', 'null', '7', -5), ('', 'key:x', '', '7', null, 9000000000000000)`);
      assert.equal((await keys.alerts()).items.filter(({ keyId }) => keyId === key.id).length, total);
      const { items } = await keys.audit({ keyId: key.id });
      assert.deepEqual(
        items.map(({ action }) => action),
        ['key.created'],
      );
      assert.equal((await keys.audit()).total, 3);
    });

    it('of usage add up to something, and stop no other call', async () => {
      const [{ key: broken }, { key: whole }] = [await createKey({ keys }), await createKey({ keys })];
      for (const { id } of [broken, whole]) await spend(keys, id, 0.5);
      await keys.usage({ keyId: whole.id });
      await run(`update usage_hours set model = '', requests = -7 where key_id = ?`, [broken.id]);
      await run(`update usage_events set source = 'odd', trace = '', input_tokens = -1 where key_id = ?`, [broken.id]);
      for (const { id } of [broken, whole]) await spend(keys, id, 0.25);
      assert.equal((await keys.usage({ keyId: whole.id })).totals.costUsd, 0.75);
      assert.equal((await keys.usage({ keyId: broken.id })).totals.costUsd, 0.75);
    });
  });
}
