import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { StartError } from '../../../lib/gateway/environment.ts';
import { runLiteLLMCommand } from '../../../lib/gateway/litellm-command.ts';
import { createLiteLLMClient } from '../../../lib/litellm/index.ts';
import { type FakeLiteLLM, fakeLiteLLM } from '../../support/litellm/fake-litellm.ts';
import { ownRedisServer } from '../../support/services/redis-server.ts';

describe('express-llm-keys litellm', () => {
  let proxy: FakeLiteLLM;
  let redis: Awaited<ReturnType<typeof ownRedisServer>>;
  let env: { [variable: string]: string };
  const upstreamKey = `sk-${randomBytes(12).toString('hex')}`;

  before(async () => {
    proxy = await fakeLiteLLM();
    redis = await ownRedisServer();
    env = {
      ...{ REDIS_URL: redis.url, LITELLM_BASE_URL: proxy.baseUrl, LITELLM_MASTER_KEY: proxy.masterKey },
      ...{ UPSTREAM_BASE_URL: proxy.baseUrl, UPSTREAM_API_KEY: upstreamKey },
    };
  });
  after(async () => {
    await proxy.close();
    await redis.stop();
  });
  afterEach(async () => {
    const client = new Redis(redis.url);
    await client.flushall();
    await client.quit();
  });

  async function run(command: string | undefined, options: { isDryRun?: boolean; policy?: string } = {}) {
    let printed = '';
    const told: string[] = [];
    await runLiteLLMCommand({ command, isDryRun: false, ...options }, env, {
      write: (text) => {
        printed += text;
      },
      warn: (text) => told.push(text),
    });
    assert.deepEqual(told, []);
    return JSON.parse(printed);
  }

  it('takes keys over but the one of the gateway, finds what differs, mends it, and counts', async () => {
    proxy.plant(upstreamKey, { key_alias: 'gateway', models: [] });
    const client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
    const made = await client.keys.generate({
      key: `sk-${randomBytes(12).toString('hex')}`,
      key_alias: 'theirs',
      models: ['gpt-4o'],
      rpm_limit: 5,
    });
    const { imported, skipped } = await run('import');
    assert.deepEqual([imported.length, skipped], [1, []]);
    assert.equal((await run('status')).synced, 1);

    await client.keys.update(made.token ?? '', { rpm_limit: 50 });
    const [keyId] = imported;
    const different = [{ keyId, field: 'rpmLimit', ours: 5, theirs: 50 }];
    const dry = await run('reconcile', { isDryRun: true });
    assert.deepEqual([dry.checked, dry.different, dry.mended], [1, different, []]);
    assert.equal((await client.keys.find(made.token ?? ''))?.rpm_limit, 50);
    const mended = await run('reconcile');
    assert.deepEqual([mended.different, mended.mended], [different, [keyId]]);
    assert.equal((await client.keys.find(made.token ?? ''))?.rpm_limit, 5);

    await client.keys.update(made.token ?? '', { rpm_limit: 7 });
    assert.deepEqual((await run('reconcile', { policy: 'theirs' })).mended, [keyId]);
    assert.deepEqual(await run('sync', { isDryRun: true }), { wouldSync: 0 });
    const { synced, waiting } = await run('sync');
    assert.deepEqual([synced, waiting], [1, { now: 0, later: 0 }]);
    assert.deepEqual((await run('reconcile', { policy: 'report' })).different, []);
  });

  it('says what it needs', async () => {
    for (const [command, given, message] of [
      [undefined, env, /needs one of the commands status, sync, reconcile, spend, import/],
      ['constructor', env, /needs one of the commands status, sync, reconcile, spend, import/],
      ['status', {}, /LITELLM_BASE_URL and LITELLM_MASTER_KEY must be set/],
      ['status', { ...env, REDIS_URL: '' }, /DATABASE_URL or REDIS_URL must be set/],
      ['sync', { ...env, LITELLM_MASTER_KEY: 'sk-wrong' }, /LITELLM_BASE_URL: /],
    ] as const) {
      const terminal = { write: () => assert.fail('It prints nothing'), warn: () => undefined };
      await assert.rejects(runLiteLLMCommand({ command, isDryRun: false }, given, terminal), (error) => {
        assert.ok(error instanceof StartError);
        assert.match(error.message, message);
        assert.ok(!error.message.includes('sk-wrong'));
        return true;
      });
    }
    await assert.rejects(run('reconcile', { policy: 'nobody' }), /--policy must be one of ours, theirs, report/);
  });
});
