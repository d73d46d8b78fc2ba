import assert from 'node:assert/strict';
import { createVirtualKeys, type VirtualKeys } from '../../../lib/index.ts';
import { createKey, spend, type TestLog, testLog } from '../../support/service.ts';
import { type SharedStore, sharedStores } from '../../support/shared-stores.ts';

for (const [name, open] of sharedStores) {
  describe(`Records on ${name} that were put back from a backup`, () => {
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

    const admit = (keyId: string, costUsd = 0) => keys.admit({ keyId, model: 'm', tokens: 1, costUsd });
    const denied = (scopeId: string) => ({
      code: 'store_unavailable',
      message: `The record of ${scopeId} is older than the ledger knows it`,
    });

    /** Puts back rows of the records as they were; counters and usage stay as they are. */
    async function restoring(change: () => Promise<unknown>): Promise<void> {
      const { run } = shared.tables;
      await run('create table kept_keys as select * from keys');
      await run('create table kept_policies as select * from policies');
      await change();
      await run('delete from policies');
      await run('insert into policies select * from kept_policies');
      await run(`update keys k set (revoked_at_ms, version, revision, settings) =
(kept.revoked_at_ms, kept.version, kept.revision, kept.settings) from kept_keys kept where kept.id = k.id`);
    }

    it('deny, are reported once a minute, and are in force again when they are repaired', async () => {
      const outdated: object[] = [];
      keys.on('record.outdated', (event) => outdated.push(event));
      const { key: revoked } = await createKey({ keys });
      const { key: tightened } = await createKey({ keys }, { rpmLimit: 5 });
      const { key: whole } = await createKey({ keys });
      await restoring(async () => {
        await keys.revoke(revoked.id);
        await keys.update(tightened.id, { rpmLimit: 1 });
      });
      for (const { id } of [revoked, tightened, revoked, tightened]) {
        await assert.rejects(admit(id), denied(`key:${id}`));
      }
      assert.equal((await admit(whole.id)).admitted, true);
      assert.deepEqual(
        outdated,
        [revoked, tightened].map(({ id }) => ({ scope: 'key', id })),
      );
      assert.deepEqual(
        log.lines,
        [revoked, tightened].map(
          ({ id }) =>
            `error: The record of key:${id} is older than the ledger knows it, as after a restored backup or on the prefix ` +
            'of another store; it denies until keys.repair puts it in force',
        ),
      );

      const { version } = await keys.repair(tightened.id, { id: 'ops' });
      assert.equal(version, tightened.version + 1);
      assert.equal((await admit(tightened.id)).admitted, true);
      await assert.rejects(admit(revoked.id), denied(`key:${revoked.id}`));
      const { items } = await keys.audit({ keyId: tightened.id, action: 'key.repaired' });
      assert.deepEqual(
        items.map(({ actor }) => actor.id),
        ['ops'],
      );
    });

    it('have no budget anew that was spent under another period', async () => {
      const { key } = await createKey({ keys }, { maxBudget: 1, budgetDuration: '1d' });
      await restoring(async () => {
        await keys.update(key.id, { maxBudget: 5, budgetDuration: '1mo' });
        await spend(keys, key.id, 0.9);
      });
      await assert.rejects(admit(key.id, 0.2), denied(`key:${key.id}`));
      await keys.repair(key.id);
      assert.equal((await keys.get(key.id)).spend, 0.9);
      const { admitted, ...refusal } = await admit(key.id, 0.2);
      assert.deepEqual([admitted, 'reason' in refusal && refusal.reason], [false, 'budget']);
      assert.equal((await admit(key.id, 0.1)).admitted, true);
    });

    it('deny where the key was deleted since, repaired or not', async () => {
      const { key } = await createKey({ keys });
      const { run } = shared.tables;
      for (const table of ['keys', 'key_models']) await run(`create table kept_${table} as select * from ${table}`);
      await keys.delete(key.id);
      for (const table of ['keys', 'key_models']) await run(`insert into ${table} select * from kept_${table}`);
      await assert.rejects(admit(key.id), { code: 'store_unavailable' });
      await keys.repair(key.id);
      await assert.rejects(admit(key.id), { code: 'store_unavailable' });
    });

    it('of a team deny its keys until its policy is set again', async () => {
      const { key } = await createKey({ keys }, { teamId: 'red' });
      const { key: other } = await createKey({ keys }, { teamId: 'blue' });
      await restoring(() => keys.setPolicy({ team: 'red' }, { rpmLimit: 1 }));
      await assert.rejects(admit(key.id), denied('team:red'));
      assert.equal((await admit(other.id)).admitted, true);
      await keys.setPolicy({ team: 'red' }, { rpmLimit: 2 });
      assert.equal((await admit(key.id)).admitted, true);
    });
  });
}
