import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { createVirtualKeys, memoryStore, type Store, type VirtualKeys } from '../../lib/index.ts';
import { createLiteLLMClient, type LiteLLMClient, type Mirror, mirrorToLiteLLM } from '../../lib/litellm/index.ts';
import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import { redisStore } from '../../lib/stores/redis/redis-store.ts';
import { type FakeLiteLLM, fakeLiteLLM } from '../support/litellm/fake-litellm.ts';
import { nextMillisecond } from '../support/litellm/next-millisecond.ts';
import { tokenOf } from '../support/litellm/token-of.ts';
import { testLog } from '../support/service.ts';
import { createPostgresSchema } from '../support/services/postgres-schema.ts';
import { newPrefix } from '../support/services/random-name.ts';
import { redisServer } from '../support/services/redis-server.ts';

interface OpenedStore {
  readonly store: Store;
  close(): Promise<void>;
}

const stores: readonly (readonly [name: string, open: () => Promise<OpenedStore>])[] = [
  ['memory', async () => ({ store: memoryStore(), async close() {} })],
  [
    'Redis',
    async () => {
      const client = new Redis((await redisServer()).url);
      return { store: redisStore({ client, prefix: newPrefix() }), close: async () => client.disconnect() };
    },
  ],
  [
    'Postgres',
    async () => {
      const { knex, schema, drop } = await createPostgresSchema();
      return { store: postgresStore({ knex, schema }), close: () => drop({ keep: false }) };
    },
  ],
];

for (const [name, open] of stores) {
  describe(`mirrorToLiteLLM: reconcile, importKeys and pullSpend on ${name}`, function () {
    this.timeout(60_000);
    let opened: OpenedStore;
    let fake: FakeLiteLLM;
    let client: LiteLLMClient;
    let keys: VirtualKeys;
    let mirror: Mirror;

    before(async () => {
      opened = await open();
      fake = await fakeLiteLLM();
      client = createLiteLLMClient({ baseUrl: fake.baseUrl, masterKey: fake.masterKey });
      keys = createVirtualKeys({ store: opened.store, logger: testLog() });
      mirror = mirrorToLiteLLM({ keys, client, deploymentId: 'production' });
      await mirror.start();
    });
    after(async () => {
      await mirror.stop();
      await keys.close();
      await fake.close();
      await opened.close();
    });

    it('mends what was changed, orphans what was removed, and adopts what it had not heard of', async () => {
      const [changed, removed, unheard] = [
        await keys.create({ name: 'Changed', models: ['gpt-4o'], rpmLimit: 5 }),
        await keys.create({ name: 'Removed', models: ['gpt-4o'] }),
        await keys.create({ name: 'Unheard', models: ['gpt-4o'] }),
      ];
      await mirror.flush();
      await client.keys.update(tokenOf(changed.secret), { rpm_limit: 50 });
      await client.keys.delete([tokenOf(removed.secret)]);
      const [row] = await opened.store.findTwins([unheard.key.id]);
      assert.ok(row !== undefined);
      await opened.store.removeTwin(row.keyId, row.version);
      const { missing, extra, different, mended } = await mirror.reconcile();
      assert.deepEqual([missing, extra], [[removed.key.id], []]);
      assert.deepEqual(different, [{ keyId: changed.key.id, field: 'rpmLimit', ours: 5, theirs: 50 }]);
      assert.deepEqual(new Set(mended), new Set([changed.key.id, unheard.key.id]));
      assert.equal((await client.keys.find(tokenOf(changed.secret)))?.rpm_limit, 5);
      const { synced, orphaned } = await mirror.status();
      assert.deepEqual([synced, orphaned], [2, 1]);
    });

    it('takes keys over once, and counts what was spent with them before and since', async () => {
      const secret = `sk-${randomBytes(16).toString('hex')}`;
      fake.plant(secret, { key_alias: 'taken', models: ['gpt-4o'], spend: 1.5 });
      const reports = await Promise.all([mirror.importKeys(), mirror.importKeys()]);
      const imported = reports.flatMap((report) => report.imported);
      assert.equal(imported.length, 1);
      const verified = await keys.verify(secret);
      assert.ok(verified.valid && verified.key.id === imported[0]);
      await mirror.flush();
      await fetch(`${fake.baseUrl}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-4o' }),
      });
      await nextMillisecond();
      const pulled = await Promise.all([mirror.pullSpend({ settleMs: 0 }), mirror.pullSpend({ settleMs: 0 })]);
      assert.equal(
        pulled.reduce((sum, { recorded }) => sum + recorded, 0),
        1,
      );
      const key = await keys.get(verified.key.id);
      assert.ok(Math.abs(key.spend - 1.5005) < 1e-9, String(key.spend));
      await keys.revoke(key.id);
      await mirror.flush();
      assert.equal(await client.keys.find(tokenOf(secret)), undefined);
    });
  });
}
