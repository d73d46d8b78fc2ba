import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createLiteLLMClient, type LiteLLMClient } from '../../../lib/litellm/index.ts';
import { createEchoModel } from '../../../lib/testing/index.ts';
import { eventually } from '../../support/eventually.ts';
import { type RunningExample, startExample } from '../../support/example.ts';
import { type FakeLiteLLM, fakeLiteLLM } from '../../support/litellm/fake-litellm.ts';
import { tokenOf } from '../../support/litellm/token-of.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { redisServer } from '../../support/services/redis-server.ts';

describe('examples/litellm-sync.ts', () => {
  const adminToken = randomBytes(8).toString('hex');
  let proxy: FakeLiteLLM;
  let client: LiteLLMClient;
  let app: RunningExample;

  before(async () => {
    proxy = await fakeLiteLLM();
    client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
    app = await startExample('litellm-sync.ts', createEchoModel(), {
      REDIS_URL: (await redisServer()).url,
      REDIS_PREFIX: newPrefix(),
      LITELLM_BASE_URL: proxy.baseUrl,
      LITELLM_MASTER_KEY: proxy.masterKey,
      ADMIN_TOKEN: adminToken,
    });
  });
  after(async () => {
    await app.stop();
    await proxy.close();
  });

  it('makes keys with a twin, shows how they stand, and closes both', async () => {
    const admin = { authorization: `Bearer ${adminToken}` };
    const made = await app.post('/api-keys', { name: 'Both', models: ['gpt-4o'], rpmLimit: 5 }, admin);
    const { key, secret } = (await made.json()) as {
      key: { id: string; alias: string; sync: unknown };
      secret: string;
    };
    const twin = () => client.keys.find(tokenOf(secret));
    assert.deepEqual([(await twin())?.key_alias, (await twin())?.rpm_limit], [key.alias, 5]);

    const resynced = await app.post(`/api-keys/${key.id}/resync`, {}, admin);
    assert.equal(((await resynced.json()) as { state: string }).state, 'synced');
    const status = await fetch(`${app.url}/api-keys/sync/status`, { headers: admin });
    assert.deepEqual(await status.json(), {
      pending: 0,
      synced: 1,
      error: 0,
      orphaned: 0,
      waiting: { now: 0, later: 0 },
    });

    await app.post(`/api-keys/${key.id}/revoke`, {}, admin);
    const refused = await app.post('/v1/chat/completions', {}, { authorization: `Bearer ${secret}` });
    assert.equal(refused.status, 401);
    await eventually(async () => (await twin()) === undefined, 'The twin is gone');
  });
});
