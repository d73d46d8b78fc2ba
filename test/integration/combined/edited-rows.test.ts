import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { createVirtualKeys, type VirtualKeys } from '../../../lib/index.ts';
import { eventually } from '../../support/eventually.ts';
import { admittedOf, call, createKey, spend, type TestLog, testLog } from '../../support/service.ts';
import { redisServer } from '../../support/services/redis-server.ts';
import { type SharedStore, sharedStores } from '../../support/shared-stores.ts';

const open = new Map(sharedStores).get('Postgres and Redis');

describe('combineStores over Postgres and Redis, where what one half has for the other was edited into nonsense', () => {
  let shared: SharedStore;
  let keys: VirtualKeys;
  let log: TestLog;

  beforeEach(async () => {
    if (open === undefined) assert.fail('no such store');
    shared = await open();
    log = testLog();
    keys = createVirtualKeys({ store: shared.connect(), cacheMs: 0, logger: log });
  });

  afterEach(async () => {
    await keys.close();
    await shared.close();
  });

  const isAdmitted = async (keyId: string) => (await admittedOf([keys.admit(call(keyId))])) === 1;

  it('raises the fences of other records beside one that is none', async () => {
    const { key } = await createKey({ keys });
    const insert = `insert into fences (scope_id, revision, is_new, is_closed, carries) values `;
    await shared.tables.run(`${insert} ('nonsense', 5, false, false, '[]'), ('team:', -7, true, false, 'null'),
('team:red', 5, false, false, '7'), ('user:ann', 5, false, false, '[{"budgetId":7}]'), ('', 0, true, true, '{}')`);
    await keys.update(key.id, { rpmLimit: 1 });
    assert.equal(await isAdmitted(key.id), true);
    assert.equal(await isAdmitted(key.id), false);
    await keys.revoke(key.id);
    assert.equal((await keys.get(key.id)).status, 'revoked');
    assert.deepEqual(await shared.tables.run('select from fences'), []);
    assert.deepEqual(
      log.lines.toSorted(),
      ['', 'nonsense', 'team:', 'team:red', 'user:ann'].map(
        (scopeId) => `error: A fence of "${scopeId}" cannot be read, and is dropped: change its record once more`,
      ),
    );
  });

  it('carries usage over, each line once, where the mark of the archive is none', async () => {
    const { key } = await createKey({ keys });
    await spend(keys, key.id, 0.5);
    const archived = async () => (await keys.usage({ keyId: key.id })).totals.costUsd;
    assert.equal(await archived(), 0.5);
    for (const mark of ['', 'nonsense', '7', '{"at":7}', '{"at":"-1","done":{},"checkpointMs":"x","isSecond":9}']) {
      await shared.tables.run('update archive_mark set cursor = ?', [mark]);
      const before = await archived();
      await spend(keys, key.id, 0.25);
      await eventually(async () => (await archived()) === before + 0.25, `The usage after the mark ${mark}`);
    }
  });

  it('carries usage over that stands behind a line which is none, and tells of that', async () => {
    const { key } = await createKey({ keys });
    await spend(keys, key.id, 0.5);
    const client = new Redis((await redisServer()).url);
    const stream = `${shared.prefix}{00}:usage`;
    for (const nonsense of ['', 'null', '7', '{"keyId":"x"}']) await client.xadd(stream, '*', 'e', nonsense);
    client.disconnect();
    await spend(keys, key.id, 0.25);
    await eventually(
      async () => (await keys.usage({ keyId: key.id })).totals.costUsd === 0.75,
      'All usage is archived',
    );
    const told = new Set(log.lines.map((line) => line.replace(/event \d+-\d+/, 'event 1-0')));
    assert.deepEqual([...told], [`error: The usage event 1-0 of ${stream} cannot be read, and is left out`]);
  });
});
