import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createVirtualKeys, memoryStore, type VirtualKeys } from '../../lib/index.ts';
import { createLiteLLMClient, type LiteLLMClient, type Mirror, mirrorToLiteLLM } from '../../lib/litellm/index.ts';
import { type LiteLLMProxy, litellmProxy } from '../support/litellm/litellm-proxy.ts';

function tokenOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

describe('mirrorToLiteLLM', function () {
  this.timeout(60_000);
  let proxy: LiteLLMProxy;
  let client: LiteLLMClient;
  let keys: VirtualKeys;
  let mirror: Mirror;

  before(async () => {
    proxy = await litellmProxy();
    client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
  });
  after(() => proxy.close());

  beforeEach(async () => {
    keys = createVirtualKeys({ store: memoryStore() });
    mirror = mirrorToLiteLLM({ keys, client, deploymentId: `test-${randomBytes(4).toString('hex')}` });
    await mirror.start();
  });
  afterEach(async () => {
    await mirror.stop();
    await keys.close();
  });

  it('makes a twin of the same secret, with the same limits, and tells of it', async () => {
    const { key, secret } = await keys.create({
      name: 'Production',
      models: ['gpt-4o', 'claude-sonnet-4'],
      rpmLimit: 7,
      tpmLimit: 70_000,
      maxParallelRequests: 3,
      maxBudget: 12.5,
      budgetDuration: 'monthly',
      modelRpmLimit: { 'gpt-4o': 2 },
      ownerId: 'ann',
    });
    assert.deepEqual([key.sync?.state, key.sync?.alias, key.sync?.warnings], ['synced', key.alias, []]);
    const twin = await client.keys.find(tokenOf(secret));
    assert.ok(twin !== undefined);
    assert.equal(twin.key_alias, key.alias);
    assert.deepEqual([...twin.models].sort(), ['claude-sonnet-4', 'gpt-4o']);
    assert.deepEqual([twin.rpm_limit, twin.tpm_limit, twin.max_parallel_requests], [7, 70_000, 3]);
    assert.deepEqual([twin.max_budget, twin.budget_duration, twin.user_id], [12.5, '1mo', 'ann']);
    assert.deepEqual(twin.metadata.model_rpm_limit, { 'gpt-4o': 2 });
    await mirror.flush();
    assert.equal((await keys.get(key.id)).sync?.state, 'synced');
  });

  it('brings changes, in the order of their making', async () => {
    const { key, secret } = await keys.create({ name: 'Changing', models: ['gpt-4o'], rpmLimit: 7, maxBudget: 3 });
    await keys.update(key.id, { models: ['free'], rpmLimit: null, maxBudget: null, name: 'Changed' });
    await mirror.flush();
    const twin = await client.keys.find(tokenOf(secret));
    assert.deepEqual([twin?.models, twin?.rpm_limit, twin?.max_budget], [['free'], null, null]);
    const { alias, sync } = await keys.get(key.id);
    assert.deepEqual([twin?.key_alias, sync?.alias, sync?.state], [alias, alias, 'synced']);
    await keys.disable(key.id);
    await mirror.flush();
    assert.equal((await client.keys.find(tokenOf(secret)))?.blocked, true);
    await keys.enable(key.id);
    await mirror.flush();
    assert.equal((await client.keys.find(tokenOf(secret)))?.blocked, false);
    await keys.revoke(key.id);
    await mirror.flush();
    assert.equal(await client.keys.find(tokenOf(secret)), undefined);
    assert.equal((await keys.get(key.id)).sync?.state, 'synced');
    await keys.delete(key.id);
    await mirror.flush();
    assert.deepEqual(await mirror.status(), {
      pending: 0,
      synced: 0,
      error: 0,
      orphaned: 0,
      waiting: { now: 0, later: 0 },
    });
  });

  it('a rotated key has the twins of both secrets while the grace lasts', async () => {
    const { key, secret } = await keys.create({ name: 'Rotating', models: ['gpt-4o'], rpmLimit: 7 });
    const { secret: second } = await keys.rotate(key.id, { graceSeconds: 2 });
    await mirror.flush();
    const [before, now] = [await client.keys.find(tokenOf(secret)), await client.keys.find(tokenOf(second))];
    assert.equal(now?.key_alias, key.alias);
    assert.ok(before !== undefined && before.key_alias !== key.alias && before.expires !== null);
    assert.ok(Date.parse(before.expires) <= Date.now() + 2000);
    await new Promise((resolve) => setTimeout(resolve, 2100));
    await mirror.flush();
    assert.equal(await client.keys.find(tokenOf(secret)), undefined);
    const { secret: third } = await keys.rotate(key.id);
    await mirror.flush();
    assert.equal(await client.keys.find(tokenOf(second)), undefined);
    assert.equal((await client.keys.find(tokenOf(third)))?.key_alias, key.alias);
    assert.equal((await keys.get(key.id)).sync?.alias, key.alias);
  });

  it('a key without models has a blocked twin, and never an empty list', async () => {
    const { key, secret } = await keys.create({ name: 'Nothing', models: [] });
    const twin = await client.keys.find(tokenOf(secret));
    assert.deepEqual([twin?.models, twin?.blocked], [['no-default-models'], true]);
    await keys.update(key.id, { models: ['gpt-4o*'] });
    await mirror.flush();
    const after = await client.keys.find(tokenOf(secret));
    assert.deepEqual([[...(after?.models ?? [])].sort(), after?.blocked], [['gpt-4o', 'gpt-4o-mini'], false]);
  });
});
