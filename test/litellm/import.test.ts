import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createVirtualKeys, memoryStore, priceBook, type Store, type VirtualKeys } from '../../lib/index.ts';
import {
  createLiteLLMClient,
  type ImportOptions,
  type LiteLLMClient,
  type Mirror,
  mirrorToLiteLLM,
} from '../../lib/litellm/index.ts';
import { type LiteLLMProxy, litellmProxy } from '../support/litellm/litellm-proxy.ts';
import { tokenOf } from '../support/litellm/token-of.ts';
import { type TwoDoors, twoDoors } from '../support/litellm/two-doors.ts';
import { testLog } from '../support/service.ts';

interface Made {
  readonly secret: string;
  readonly token: string;
  readonly alias: string;
}

describe('Mirror.importKeys', function () {
  this.timeout(120_000);
  let proxy: LiteLLMProxy;
  let client: LiteLLMClient;
  let store: Store;
  let keys: VirtualKeys;
  let mirror: Mirror;
  let doors: TwoDoors;
  let run: string;
  const prices = priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } });

  before(async () => {
    proxy = await litellmProxy();
    client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
  });
  after(() => proxy.close());
  beforeEach(() => begin());
  afterEach(() => end());

  async function begin(options: { readonly maximums?: { readonly [field: string]: unknown } } = {}): Promise<void> {
    run = `import-${randomBytes(4).toString('hex')}`;
    store = memoryStore();
    keys = createVirtualKeys({ store, prices, logger: testLog(), ...options });
    doors = await twoDoors(keys, proxy);
    mirror = mirrorToLiteLLM({ keys, client, deploymentId: run });
    await mirror.start();
  }

  async function end(): Promise<void> {
    await mirror.stop();
    await doors.close();
    await keys.close();
  }

  /** A key that LiteLLM makes by itself. */
  async function madeThere(settings: object, name = 'key'): Promise<Made> {
    const alias = `${run}-${name}`;
    const response = await fetch(`${proxy.baseUrl}/key/generate`, {
      method: 'POST',
      headers: { authorization: `Bearer ${proxy.masterKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ key_alias: alias, ...settings }),
    });
    assert.equal(response.status, 200, await response.clone().text());
    const { key } = (await response.json()) as { key: string };
    return { secret: key, token: tokenOf(key), alias };
  }

  /** Imports what this test has made, and no other key of the proxy. */
  const importMine = (options: ImportOptions = {}) =>
    mirror.importKeys({ filter: ({ key_alias }) => key_alias?.startsWith(run) ?? false, ...options });

  it('makes keys of LiteLLM good here at once, and closes them there when they are revoked here', async () => {
    const count = proxy.isReal ? 20 : 200;
    const made = [];
    for (let at = 0; at < count; at += 1) made.push(await madeThere({ models: ['gpt-4o'] }, `key-${at}`));
    const report = await importMine();
    assert.deepEqual([report.imported.length, report.skipped], [count, []]);
    for (const { secret } of made) assert.equal(await doors.ours(secret, 'gpt-4o'), 'ok');
    await mirror.flush();
    const { items } = await keys.list({}, { limit: 1 });
    assert.deepEqual([items[0]?.sync?.state, items[0]?.sync?.alias], ['synced', items[0]?.name]);
    const [first] = made;
    assert.ok(first !== undefined);
    assert.deepEqual(
      [await doors.ours(first.secret, 'pricey'), await doors.theirs(first.secret, 'gpt-4o')],
      ['model', 'ok'],
    );
    for (const id of report.imported) await keys.revoke(id);
    await mirror.flush();
    for (const { secret, token } of made) {
      assert.deepEqual([await doors.ours(secret, 'gpt-4o'), await client.keys.find(token)], ['key', undefined]);
    }
    assert.equal(await doors.theirs(first.secret, 'gpt-4o'), 'key');
  });

  it('takes limits, budget, owner, team, end, block and spend over, and leaves the key there as it was', async () => {
    const expires = Date.now() + 3_600_000;
    const team = `${run}-team`;
    await client.teams.create({ team_id: team });
    const full = await madeThere({
      ...{ models: ['gpt-4o', 'pricey'], rpm_limit: 9, tpm_limit: 9000, max_parallel_requests: 2 },
      ...{ max_budget: 12.5, budget_duration: '1mo', user_id: 'ann', team_id: team, duration: '3600s' },
      ...{ model_rpm_limit: { 'gpt-4o': 4 }, spend: 1.25, metadata: { note: 'theirs' } },
    });
    const open = await madeThere({ blocked: true }, 'open');
    const { imported, skipped } = await importMine();
    assert.deepEqual([imported.length, skipped], [2, []]);
    const { items } = await keys.list();
    const [key, blocked] = [
      items.find(({ name }) => name === full.alias),
      items.find(({ name }) => name === open.alias),
    ];
    assert.ok(key !== undefined && blocked !== undefined);
    assert.deepEqual([[...key.models].sort(), key.rpmLimit, key.tpmLimit], [['gpt-4o', 'pricey'], 9, 9000]);
    assert.deepEqual([key.maxParallelRequests, key.maxBudget, key.budgetDuration], [2, 12.5, 'monthly']);
    assert.deepEqual([key.ownerId, key.teamId, key.modelRpmLimit], ['ann', team, { 'gpt-4o': 4 }]);
    assert.deepEqual([key.spend, key.metadata, key.prefix], [1.25, {}, `sk-…${full.secret.slice(-4)}`]);
    assert.ok(Math.abs(Date.parse(key.expiresAt ?? '') - expires) < 30_000);
    assert.deepEqual([blocked.status, blocked.models, blocked.maxBudget], ['disabled', ['*'], null]);
    const before = await client.keys.find(full.token);
    await mirror.flush();
    const after = await client.keys.find(full.token);
    assert.ok(before !== undefined && after !== undefined);
    const { express_llm_keys: mark, ...metadata } = after.metadata;
    assert.deepEqual(mark, { key_id: key.id, deployment_id: run });
    const same = (twin: typeof after) => ({ ...twin, metadata: {}, models: [...twin.models].sort(), expires: null });
    assert.deepEqual(same(after), same(before));
    assert.deepEqual(metadata, { ...before.metadata, model_tpm_limit: {} });
    assert.deepEqual(
      [(await client.keys.find(open.token))?.blocked, (await client.keys.find(open.token))?.models],
      [true, []],
    );
    const { different, missing } = await mirror.reconcile({ policy: 'report' });
    assert.deepEqual([different, missing], [[], []]);
    const { items: audit } = await keys.audit({ keyId: key.id });
    assert.deepEqual(
      audit.map(({ action, actor }) => [action, actor.id]),
      [['key.imported', 'litellm-import']],
    );
  });

  it('is good again for whoever repeats it, or does it twice at once', async () => {
    await madeThere({ models: ['gpt-4o'], spend: 2 });
    const both = await Promise.all([importMine(), importMine()]);
    const imported = both.flatMap((report) => report.imported);
    assert.equal(imported.length, 1);
    const { skipped } = await importMine();
    assert.deepEqual(
      skipped.map(({ reason }) => reason),
      ['is one of ours'],
    );
    assert.equal((await keys.get(imported[0] ?? '')).spend, 2);
  });

  it('goes on where a broken one left off', async () => {
    const { token } = await madeThere({ models: ['gpt-4o'], spend: 3 });
    const putTwin = store.putTwin.bind(store);
    let isBroken = true;
    store.putTwin = async (row) => {
      if (isBroken) throw new Error('The connection was lost');
      return putTwin(row);
    };
    await assert.rejects(importMine(), { code: 'store_unavailable' });
    isBroken = false;
    const { skipped } = await importMine();
    assert.deepEqual(
      skipped.map(({ reason }) => reason),
      ['is one of ours'],
    );
    const { items } = await keys.list();
    assert.deepEqual(
      items.map(({ spend }) => spend),
      [3],
    );
    await mirror.flush();
    assert.equal((await keys.get(items[0]?.id ?? '')).sync?.state, 'synced');
    await keys.delete(items[0]?.id ?? '');
    await mirror.flush();
    assert.equal(await client.keys.find(token), undefined);
  });

  it('leaves the keys of other deployments, expired ones, and those that nothing here is like', async () => {
    await madeThere({ metadata: { express_llm_keys: { key_id: 'x', deployment_id: 'production' } } }, 'elsewhere');
    await madeThere({ metadata: { express_llm_keys: { key_id: 'x', deployment_id: run } } }, 'gone');
    await madeThere({ duration: '1s' }, 'old');
    await madeThere({ models: ['all-team-models'] }, 'team');
    await madeThere({ allowed_routes: ['/key/info'] }, 'routes');
    await madeThere({}, 'long'.padEnd(300, 'g'));
    await madeThere({ tpm_limit: 2 ** 60 }, 'vast');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const { imported, skipped } = await importMine();
    assert.deepEqual(imported, []);
    const reasons = Object.fromEntries(
      skipped.map(({ alias, reason }) => [alias.slice(run.length + 1, run.length + 5), reason]),
    );
    assert.deepEqual(reasons, {
      else: 'belongs to the deployment production',
      gone: 'was one of ours',
      old: 'has expired',
      team: 'has the models of its team',
      rout: 'is limited to some routes',
      long: reasons.long,
      vast: reasons.vast,
    });
    assert.match(reasons.long ?? '', /^is nothing that a key here may be: name: /);
    assert.match(reasons.vast ?? '', /^is nothing that a key here may be: tpmLimit: /);
    assert.equal((await keys.count()).total, 0);
  });

  it('takes nothing that passes the maximums', async () => {
    await end();
    await begin({ maximums: { rpmLimit: 10 } });
    await madeThere({ rpm_limit: 11 }, 'above');
    await madeThere({ rpm_limit: 10 }, 'at');
    await madeThere({}, 'open');
    const { imported, skipped } = await importMine();
    assert.equal(imported.length, 1);
    assert.deepEqual(Object.fromEntries(skipped.map(({ alias, reason }) => [alias.slice(run.length + 1), reason])), {
      above: 'is nothing that a key here may be: rpmLimit: 11 exceeds maximum 10',
      open: 'is nothing that a key here may be: rpmLimit: unlimited exceeds maximum 10',
    });
  });

  it('tells in a dry run what it would take, and changes nothing', async () => {
    await end();
    await begin({ maximums: { rpmLimit: 10 } });
    const { alias, token } = await madeThere({ rpm_limit: 10 }, 'at');
    await madeThere({ rpm_limit: 11 }, 'above');
    const before = await client.keys.find(token);
    const dry = await importMine({ dryRun: true });
    assert.deepEqual([dry.imported, dry.importable, dry.skipped.length], [[], [alias], 1]);
    assert.deepEqual([(await keys.count()).total, await client.keys.find(token)], [0, before]);
    const { imported, importable } = await importMine();
    assert.deepEqual([imported.length, importable], [1, []]);
    assert.deepEqual((await importMine({ dryRun: true })).importable, []);
  });

  it('tells how far it has come, and refuses options of no use', async () => {
    await madeThere({});
    const told: { done: number; total: number }[] = [];
    await importMine({ onProgress: (progress) => void told.push(progress) });
    const last = told.at(-1);
    assert.ok(last !== undefined && last.done === last.total && last.total >= 2);
    await assert.rejects(mirror.importKeys({ dryRun: 'yes' } as never), { name: 'TypeError', message: /dryRun/ });
    await assert.rejects(mirror.importKeys({ filter: 'x' } as never), { name: 'TypeError', message: /filter/ });
  });
});
