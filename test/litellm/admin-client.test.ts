import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { LiteLLMError } from '../../lib/errors.ts';
import { createLiteLLMClient, type LiteLLMClient } from '../../lib/litellm/index.ts';
import { type LiteLLMProxy, litellmProxy } from '../support/litellm/litellm-proxy.ts';

function newKey() {
  const secret = `sk-llm-${randomBytes(20).toString('hex')}`;
  return {
    secret,
    token: createHash('sha256').update(secret).digest('hex'),
    alias: `test_${randomBytes(4).toString('hex')}`,
  };
}

describe('createLiteLLMClient', function () {
  this.timeout(60_000);
  let proxy: LiteLLMProxy;
  let client: LiteLLMClient;

  before(async () => {
    proxy = await litellmProxy();
    client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
  });
  after(() => proxy.close());

  it('tells the version, and that there is a database', async () => {
    const { version, hasDatabase, hasLicense } = await client.health();
    assert.match(version ?? '', /^1\.\d+\.\d+/);
    assert.equal(hasDatabase, true);
    assert.notEqual(hasLicense, true);
  });

  it('names the models of the proxy', async () => {
    const names = (await client.models()).map(({ model_name }) => model_name);
    assert.ok(names.includes('gpt-4o') && names.includes('claude-sonnet-4'));
  });

  it('makes a key of a given secret, and answers what is stored of it', async () => {
    const { secret, token, alias } = newKey();
    const { created_at, key_name, ...made } = await client.keys.generate({
      key: secret,
      key_alias: alias,
      models: ['gpt-4o'],
      max_budget: 2.5,
      budget_duration: '1d',
      rpm_limit: 5,
      model_rpm_limit: { 'gpt-4o': 3 },
      metadata: { origin: 'test' },
    });
    assert.ok(Number.isFinite(Date.parse(created_at ?? '')) || !proxy.isReal);
    assert.equal(key_name, `sk-...${secret.slice(-4)}`);
    assert.deepEqual(
      { ...made, budget_reset_at: null },
      {
        token,
        key_alias: alias,
        spend: 0,
        expires: null,
        models: ['gpt-4o'],
        user_id: null,
        team_id: null,
        max_budget: 2.5,
        budget_duration: '1d',
        budget_reset_at: null,
        rpm_limit: 5,
        tpm_limit: null,
        tpd_limit: null,
        max_parallel_requests: null,
        budget_limits: [],
        litellm_budget_table: {},
        allowed_routes: [],
        model_max_budget: {},
        metadata: { origin: 'test', model_rpm_limit: { 'gpt-4o': 3 } },
        blocked: false,
      },
    );
    assert.deepEqual(await client.keys.find(token), { ...made, created_at, key_name });
  });

  it('answers the settings that a secret already has, not those that it was to get', async () => {
    const { secret, alias } = newKey();
    await client.keys.generate({ key: secret, key_alias: alias, models: ['gpt-4o'] });
    const again = await client.keys.generate({ key: secret, key_alias: `${alias}b`, models: ['free'] });
    assert.deepEqual([again.key_alias, again.models], [alias, ['gpt-4o']]);
  });

  it('changes, blocks, unblocks and removes a key by the hash of its secret', async () => {
    const { secret, token, alias } = newKey();
    await client.keys.generate({ key: secret, key_alias: alias, models: ['gpt-4o'], rpm_limit: 5 });
    await client.keys.update(token, { rpm_limit: null, models: ['free'], duration: '3600s' });
    const updated = await client.keys.find(token);
    assert.deepEqual([updated?.rpm_limit, updated?.models], [null, ['free']]);
    const lifeMs = Date.parse(updated?.expires ?? '') - Date.now();
    assert.ok(lifeMs > 3_500_000 && lifeMs <= 3_605_000, `expires in ${lifeMs} ms`);
    await client.keys.block(token);
    assert.equal((await client.keys.find(token))?.blocked, true);
    await client.keys.unblock(token);
    assert.equal((await client.keys.find(token))?.blocked, false);
    await client.keys.delete([token]);
    assert.equal(await client.keys.find(token), undefined);
  });

  it('takes keys that are gone for deleted', async () => {
    const { secret, token, alias } = newKey();
    await client.keys.generate({ key: secret, key_alias: alias, models: ['gpt-4o'] });
    await client.keys.delete([token]);
    await client.keys.delete([token]);
    await client.keys.delete([]);
  });

  it('refuses to change or block a key that is not there', async () => {
    const { token } = newKey();
    for (const act of [() => client.keys.update(token, { rpm_limit: 1 }), () => client.keys.block(token)]) {
      await assert.rejects(act, ({ code, answer }: LiteLLMError) => {
        assert.deepEqual([code, answer.status], ['litellm_refused', 404]);
        return true;
      });
    }
  });

  it('refuses an alias that another key has', async () => {
    const [first, second] = [newKey(), newKey()];
    await client.keys.generate({ key: first.secret, key_alias: first.alias, models: ['gpt-4o'] });
    await assert.rejects(client.keys.generate({ key: second.secret, key_alias: first.alias, models: ['gpt-4o'] }), {
      code: 'litellm_refused',
    });
    assert.equal(await client.keys.find(second.token), undefined);
  });

  it('refuses what only the Enterprise edition has, once', async () => {
    const { secret, token, alias } = newKey();
    await assert.rejects(client.keys.generate({ key: secret, key_alias: alias, models: ['free'], tags: ['a'] }), {
      code: 'litellm_refused',
    });
    assert.equal(await client.keys.find(token), undefined);
  });

  it('walks keys by pages in the order of their tokens, and finds them by alias', async () => {
    const made = [newKey(), newKey(), newKey()];
    for (const { secret, alias } of made)
      await client.keys.generate({ key: secret, key_alias: alias, models: ['free'] });
    const seen: string[] = [];
    for (let page = 1; ; page += 1) {
      const { keys, total_pages } = await client.keys.list({ page, size: 2 });
      seen.push(...keys.flatMap(({ token }) => token ?? []));
      if (page >= total_pages) break;
    }
    assert.deepEqual(seen, [...new Set(seen)].sort());
    for (const { token } of made) assert.ok(seen.includes(token));
    const [{ alias, token }] = made as [ReturnType<typeof newKey>];
    assert.deepEqual(
      (await client.keys.list({ key_alias: alias })).keys.map((key) => key.token),
      [token],
    );
    assert.deepEqual(await client.keys.aliases({ search: alias }), [alias]);
  });

  it('makes teams and users once, and finds them', async () => {
    const id = randomBytes(4).toString('hex');
    assert.equal(await client.teams.find(id), undefined);
    await client.teams.create({ team_id: id, team_alias: 'Search' });
    await client.teams.create({ team_id: id, team_alias: 'Other' });
    assert.equal((await client.teams.find(id))?.team_alias, 'Search');
    await client.users.create({ user_id: id });
    await client.users.create({ user_id: id });
    assert.equal((await client.users.find(id))?.user_id, id);
  });

  it('tells a wrong master key from other failures, and repeats it nowhere', async () => {
    const masterKey = 'sk-wrong-but-secret-0123456789';
    const stranger = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey });
    await assert.rejects(stranger.keys.list(), (error: LiteLLMError) => {
      assert.equal(error.answer.status, 401);
      assert.doesNotMatch(`${error.stack}${JSON.stringify(error)}`, /sk-wrong|[0-9a-f]{64}/);
      return true;
    });
  });
});
