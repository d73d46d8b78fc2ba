import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createVirtualKeys, memoryStore, priceBook, type VirtualKeys } from '../../lib/index.ts';
import { createLiteLLMClient, type LiteLLMClient, type Mirror, mirrorToLiteLLM } from '../../lib/litellm/index.ts';
import { type LiteLLMProxy, litellmProxy } from '../support/litellm/litellm-proxy.ts';
import { tokenOf } from '../support/litellm/token-of.ts';
import { type TwoDoors, twoDoors, type Verdict } from '../support/litellm/two-doors.ts';

describe('mirrorToLiteLLM', function () {
  this.timeout(60_000);
  let proxy: LiteLLMProxy;
  let client: LiteLLMClient;
  let keys: VirtualKeys;
  let mirror: Mirror;
  let doors: TwoDoors;
  const prices = priceBook({
    free: { inputPerMillion: 0, outputPerMillion: 0 },
    '*': { inputPerMillion: 1, outputPerMillion: 2 },
  });

  async function verdicts(secret: string, model: string): Promise<readonly [ours: Verdict, theirs: Verdict]> {
    return [await doors.ours(secret, model), await doors.theirs(secret, model)];
  }

  before(async () => {
    proxy = await litellmProxy();
    client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
  });
  after(() => proxy.close());

  beforeEach(async () => {
    keys = createVirtualKeys({ store: memoryStore(), prices });
    doors = await twoDoors(keys, proxy);
    mirror = mirrorToLiteLLM({ keys, client, deploymentId: `test-${randomBytes(4).toString('hex')}` });
    await mirror.start();
  });
  afterEach(async () => {
    await mirror.stop();
    await doors.close();
    await keys.close();
  });

  it('a secret is good on both sides, for the models that it names, until it is closed', async () => {
    const { key, secret } = await keys.create({ name: 'Both', models: ['gpt-4o'] });
    assert.deepEqual(await verdicts(secret, 'gpt-4o'), ['ok', 'ok']);
    assert.deepEqual(await verdicts(secret, 'pricey'), ['model', 'model']);
    await keys.disable(key.id);
    await mirror.flush();
    assert.deepEqual(await verdicts(secret, 'gpt-4o'), ['key', 'key']);
    await keys.enable(key.id);
    await mirror.flush();
    assert.deepEqual(await verdicts(secret, 'gpt-4o'), ['ok', 'ok']);
    await keys.revoke(key.id);
    await mirror.flush();
    assert.deepEqual(await verdicts(secret, 'gpt-4o'), ['key', 'key']);
  });

  it('requests, money and time end on both sides', async () => {
    const [limited, poor, brief] = await Promise.all([
      keys.create({ name: 'Limited', models: ['*'], rpmLimit: 1 }),
      keys.create({ name: 'Poor', models: ['*'], maxBudget: 0 }),
      keys.create({ name: 'Brief', models: ['*'], expiresAt: Date.now() + 4000 }),
    ]);
    assert.deepEqual(await verdicts(brief.secret, 'gpt-4o'), ['ok', 'ok']);
    assert.deepEqual(await verdicts(limited.secret, 'gpt-4o'), ['ok', 'ok']);
    assert.deepEqual(await verdicts(limited.secret, 'gpt-4o'), ['rate', 'rate']);
    assert.deepEqual(await verdicts(poor.secret, 'gpt-4o'), ['budget', 'budget']);
    await new Promise((resolve) => setTimeout(resolve, 4100));
    assert.deepEqual(await verdicts(brief.secret, 'gpt-4o'), ['expired', 'expired']);
  });

  it('a model named like one of the words for every model opens none', async () => {
    const { key, secret } = await keys.create({ name: 'Words', models: ['all-proxy-models', 'all-team-models'] });
    assert.deepEqual(await verdicts(secret, 'gpt-4o'), ['model', 'key']);
    assert.deepEqual(key.sync?.warnings, [
      'No model of LiteLLM matches all-proxy-models',
      'No model of LiteLLM matches all-team-models',
    ]);
    await keys.update(key.id, { models: ['all-proxy-models', 'free'] });
    await mirror.flush();
    assert.deepEqual(await verdicts(secret, 'gpt-4o'), ['model', 'model']);
    assert.deepEqual(await verdicts(secret, 'free'), ['ok', 'ok']);
  });

  it('two owners may choose one name, and a new name changes nothing but the alias', async () => {
    const [ann, bob] = await Promise.all(
      ['ann', 'bob'].map((ownerId) => keys.create({ name: 'Same', models: ['free'], ownerId, rpmLimit: 5 })),
    );
    assert.ok(ann !== undefined && bob !== undefined);
    const [before, other] = await Promise.all([ann, bob].map(({ secret }) => client.keys.find(tokenOf(secret))));
    assert.ok(before !== undefined && other !== undefined && before.key_alias !== other.key_alias);
    const { alias } = await keys.update(ann.key.id, { name: 'Renamed' });
    await mirror.flush();
    const after = await client.keys.find(tokenOf(ann.secret));
    assert.match(alias, /^Renamed_/);
    assert.deepEqual(after, { ...before, key_alias: alias });
    assert.deepEqual(await client.keys.find(tokenOf(bob.secret)), other);
  });

  it('holds the largest limits and the longest life that a key may have here', async () => {
    const { key, secret } = await keys.create({
      name: 'Large',
      models: ['free'],
      rpmLimit: Number.MAX_SAFE_INTEGER,
      tpmLimit: Number.MAX_SAFE_INTEGER,
      maxParallelRequests: 2_147_483_647,
      maxBudget: 8_999_999.123456789,
      modelTpmLimit: { free: Number.MAX_SAFE_INTEGER },
      expiresAt: '9999-12-31T23:59:59Z',
    });
    assert.deepEqual([key.sync?.state, key.sync?.error], ['synced', undefined]);
    assert.equal((await client.keys.find(tokenOf(secret)))?.rpm_limit, Number.MAX_SAFE_INTEGER);
    assert.equal((await mirror.resync(key.id)).state, 'synced');
  });

  it('refuses what LiteLLM has no room for, and changes nothing on either side', async () => {
    const twins = (await client.keys.list({ size: 1 })).total_count;
    const refused = { code: 'invalid_request', status: 400 };
    await assert.rejects(keys.create({ name: 'x', models: ['*'], maxParallelRequests: 2_147_483_648 }), refused);
    await assert.rejects(keys.create({ name: 'a\u0000b', models: ['*'] }), refused);
    assert.equal((await keys.count()).total, 0);
    assert.equal((await client.keys.list({ size: 1 })).total_count, twins);
    assert.deepEqual((await mirror.status()).waiting, { now: 0, later: 0 });
    const { key } = await keys.create({ name: 'x'.repeat(255), models: ['*'] });
    assert.match(key.sync?.alias ?? '', /^x{50}_[0-9a-f]{8}$/);
    await assert.rejects(keys.update(key.id, { maxParallelRequests: 2_147_483_648 }), refused);
    assert.equal((await keys.get(key.id)).version, 1);
  });

  it('takes a twin of a higher limit, or of none, back to what its key says', async () => {
    const { key, secret } = await keys.create({ name: 'Edited', models: ['free'], rpmLimit: 5, maxBudget: 2 });
    const token = tokenOf(secret);
    const made = await client.keys.find(token);
    await client.keys.update(token, {
      rpm_limit: null,
      max_budget: 1e6,
      models: [],
      duration: '9s',
      metadata: { note: 1 },
    });
    assert.equal((await mirror.resync(key.id)).state, 'synced');
    const mended = await client.keys.find(token);
    assert.deepEqual({ ...mended, metadata: made?.metadata }, made);
    assert.equal(mended?.metadata.note, 1);
    await client.keys.block(token);
    assert.equal((await mirror.resync(key.id)).state, 'synced');
    assert.equal((await client.keys.find(token))?.blocked, false);
  });

  it('says so when a twin was deleted, and rotating makes a new one', async () => {
    const { key, secret } = await keys.create({ name: 'Deleted', models: ['free'] });
    await client.keys.delete([tokenOf(secret)]);
    const { state, error } = await mirror.resync(key.id);
    assert.deepEqual([state, /rotate/.test(error ?? '')], ['orphaned', true]);
    assert.equal((await mirror.status()).orphaned, 1);
    assert.deepEqual(await verdicts(secret, 'free'), ['ok', 'key']);
    const { secret: second } = await keys.rotate(key.id);
    await mirror.flush();
    assert.deepEqual(await verdicts(second, 'free'), ['ok', 'ok']);
    assert.equal((await keys.get(key.id)).sync?.state, 'synced');
  });

  it('leaves the twin of another deployment alone', async () => {
    const { key, secret } = await keys.create({ name: 'Taken', models: ['free'], rpmLimit: 5 });
    const token = tokenOf(secret);
    const mark = { key_id: key.id, deployment_id: 'production' };
    await client.keys.update(token, { metadata: { express_llm_keys: mark } });
    await keys.update(key.id, { rpmLimit: 9 });
    await mirror.flush();
    assert.match((await keys.get(key.id)).sync?.error ?? '', /another deployment/);
    assert.equal((await client.keys.find(token))?.rpm_limit, 5);
    await keys.delete(key.id);
    await mirror.flush();
    assert.equal((await client.keys.find(token))?.rpm_limit, 5);
  });

  it('a reset spend is reset there as well, and a rotated key goes on from what it has spent', async () => {
    const { key, secret } = await keys.create({ name: 'Spender', models: ['free'], maxBudget: 2 });
    await client.keys.update(tokenOf(secret), { spend: 1.5 });
    const { secret: second } = await keys.rotate(key.id);
    assert.equal((await client.keys.find(tokenOf(second)))?.spend, 1.5);
    await keys.resetSpend(key.id);
    await mirror.flush();
    assert.equal((await client.keys.find(tokenOf(second)))?.spend, 0);
    assert.equal((await keys.get(key.id)).sync?.state, 'synced');
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
