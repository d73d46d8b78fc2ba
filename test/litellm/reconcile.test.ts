import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createVirtualKeys, memoryStore, type Store, type VirtualKeys } from '../../lib/index.ts';
import {
  createLiteLLMClient,
  type LiteLLMClient,
  type Mirror,
  type MirrorOptions,
  mirrorToLiteLLM,
  type Progress,
} from '../../lib/litellm/index.ts';
import { fakeLiteLLM } from '../support/litellm/fake-litellm.ts';
import { type LiteLLMProxy, litellmProxy } from '../support/litellm/litellm-proxy.ts';
import { plantKeys } from '../support/litellm/planted-keys.ts';
import { tokenOf } from '../support/litellm/token-of.ts';
import { testLog } from '../support/service.ts';

const someDeployment = () => `test-${randomBytes(4).toString('hex')}`;
const nothing = { missing: [], extra: [], different: [], mended: [] };

interface Side {
  readonly keys: VirtualKeys;
  readonly mirror: Mirror;
  readonly deploymentId: string;
}

describe('Mirror.reconcile', function () {
  this.timeout(120_000);
  let proxy: LiteLLMProxy;
  let client: LiteLLMClient;
  const sides: Side[] = [];

  before(async () => {
    proxy = await litellmProxy();
    client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
  });
  after(() => proxy.close());
  afterEach(async () => {
    for (const { keys, mirror } of sides.splice(0)) {
      await mirror.stop();
      await keys.close();
    }
  });

  async function side(options: Partial<MirrorOptions> & { store?: Store; maximums?: object } = {}): Promise<Side> {
    const { store = memoryStore(), maximums = {}, ...given } = options;
    const deploymentId = given.deploymentId ?? someDeployment();
    const keys = createVirtualKeys({ store, maximums: { ...maximums }, logger: testLog() });
    const mirror = mirrorToLiteLLM({ keys, client, deploymentId, ...given });
    await mirror.start();
    const made = { keys, mirror, deploymentId };
    sides.push(made);
    return made;
  }

  async function makeKeys({ keys, mirror }: Side, count: number) {
    const made = [];
    for (let at = 0; at < count; at += 1) {
      made.push(
        await keys.create({ name: `Key ${at}`, models: ['gpt-4o'], rpmLimit: 10, maxBudget: 5, ownerId: 'ann' }),
      );
    }
    await mirror.flush();
    return made.map(({ key, secret }) => ({ id: key.id, alias: key.alias, token: tokenOf(secret), secret }));
  }

  it('finds nothing where nobody has changed anything, also of a key in its grace', async () => {
    const one = await side();
    const [first] = await makeKeys(one, 3);
    assert.ok(first !== undefined);
    await one.keys.rotate(first.id, { graceSeconds: 600 });
    await one.mirror.flush();
    assert.deepEqual(await one.mirror.reconcile(), { checked: 3, ...nothing });
  });

  it('tells fields that were changed by hand, and makes them what they were', async () => {
    const one = await side();
    const [a, b, c] = await makeKeys(one, 3);
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    await client.keys.update(a.token, { rpm_limit: 99, models: ['gpt-4o', 'pricey'] });
    await client.keys.block(b.token);
    const different = [
      { keyId: a.id, field: 'models', ours: ['gpt-4o'], theirs: ['gpt-4o', 'pricey'] },
      { keyId: a.id, field: 'rpmLimit', ours: 10, theirs: 99 },
      { keyId: b.id, field: 'blocked', ours: false, theirs: true },
    ];
    const byKey = (report: { different: readonly { keyId: string }[] }) =>
      report.different.toSorted((x, y) => Number(x.keyId === b.id) - Number(y.keyId === b.id));
    const told = await one.mirror.reconcile({ dryRun: true });
    assert.deepEqual({ ...told, different: byKey(told) }, { checked: 3, ...nothing, different });
    const reported = await one.mirror.reconcile({ policy: 'report' });
    assert.deepEqual(byKey(reported), different);
    assert.equal((await client.keys.find(a.token))?.rpm_limit, 99);
    const mended = await one.mirror.reconcile();
    assert.deepEqual(byKey(mended), different);
    assert.deepEqual(new Set(mended.mended), new Set([a.id, b.id]));
    const twin = await client.keys.find(a.token);
    assert.deepEqual([twin?.rpm_limit, twin?.models], [10, ['gpt-4o']]);
    assert.equal((await client.keys.find(b.token))?.blocked, false);
    assert.deepEqual(await one.mirror.reconcile(), { checked: 3, ...nothing });
  });

  it('finds twins that were removed, which cannot be made again without the secret', async () => {
    const one = await side();
    const [first] = await makeKeys(one, 2);
    assert.ok(first !== undefined);
    await client.keys.delete([first.token]);
    const report = await one.mirror.reconcile();
    assert.deepEqual(report, { checked: 2, ...nothing, missing: [first.id] });
    assert.equal((await one.keys.get(first.id)).sync?.state, 'orphaned');
    assert.deepEqual((await one.mirror.reconcile()).missing, [first.id]);
    const { secret } = await one.keys.rotate(first.id);
    await one.mirror.flush();
    assert.ok((await client.keys.find(tokenOf(secret))) !== undefined);
    assert.deepEqual(await one.mirror.reconcile(), { checked: 2, ...nothing });
  });

  it('tells of keys that the mirror has not heard of, and finds the twins of those that LiteLLM knows', async () => {
    const store = memoryStore();
    const before = createVirtualKeys({ store, logger: testLog() });
    const known = await before.create({ name: 'Known', models: ['gpt-4o'] });
    const unknown = await before.create({ name: 'Unknown', models: ['gpt-4o'] });
    await before.close();
    await client.keys.generate({ key: known.secret, key_alias: `hand_${randomBytes(4).toString('hex')}`, models: [] });
    const one = await side({ store });
    const report = await one.mirror.reconcile();
    assert.deepEqual(report.missing, [unknown.key.id]);
    assert.deepEqual(report.mended, [known.key.id]);
    const fields = report.different.map(({ keyId, field }) => [keyId, field]);
    assert.deepEqual(fields, [
      [known.key.id, 'models'],
      [known.key.id, 'metadata'],
    ]);
    assert.deepEqual((await client.keys.find(tokenOf(known.secret)))?.models, ['gpt-4o']);
    assert.equal((await one.keys.get(known.key.id)).sync?.state, 'synced');
    assert.equal((await one.keys.get(unknown.key.id)).sync?.state, 'orphaned');
    await one.keys.revoke(known.key.id);
    await one.mirror.flush();
    assert.equal(await client.keys.find(tokenOf(known.secret)), undefined);
  });

  it('removes nothing for a store of which LiteLLM has no twin: it may be the wrong one', async () => {
    const right = await side();
    const made = await makeKeys(right, 2);
    const wrong = await side({ deploymentId: right.deploymentId });
    const report = await wrong.mirror.reconcile();
    assert.deepEqual(report, { checked: 0, ...nothing, extra: report.extra });
    assert.deepEqual(report.extra.toSorted(), made.map(({ alias }) => alias).toSorted());
    for (const { token } of made) assert.ok((await client.keys.find(token)) !== undefined);
  });

  it('removes twins that have no key, of its own deployment, where that has a name', async () => {
    const lost = await side();
    const [stray] = await makeKeys(lost, 1);
    assert.ok(stray !== undefined);
    // The same deployment after its database was lost.
    const one = await side({ deploymentId: lost.deploymentId });
    const [kept] = await makeKeys(one, 1);
    assert.ok(kept !== undefined);
    const dry = await one.mirror.reconcile({ dryRun: true });
    assert.deepEqual(dry, { checked: 1, ...nothing, extra: [stray.alias] });
    assert.deepEqual(await one.mirror.reconcile({ policy: 'theirs' }), dry);
    assert.ok((await client.keys.find(stray.token)) !== undefined);
    assert.deepEqual(await one.mirror.reconcile(), { ...dry, mended: [stray.alias] });
    assert.equal(await client.keys.find(stray.token), undefined);
    assert.ok((await client.keys.find(kept.token)) !== undefined);
  });

  it('leaves the keys of others alone', async () => {
    const alias = `foreign_${randomBytes(4).toString('hex')}`;
    const foreign = await client.keys.generate({ key: `sk-${randomBytes(16).toString('hex')}`, key_alias: alias });
    const [one, other] = [await side(), await side()];
    const [mine] = await makeKeys(one, 2);
    const [theirs] = await makeKeys(other, 2);
    assert.ok(mine !== undefined && theirs !== undefined);
    await client.keys.update(theirs.token, { rpm_limit: 3 });
    await client.keys.delete([mine.token]);
    const report = await one.mirror.reconcile();
    assert.deepEqual(report, { checked: 2, ...nothing, missing: [mine.id] });
    assert.equal((await client.keys.find(theirs.token))?.rpm_limit, 3);
    assert.deepEqual(await client.keys.find(foreign.token ?? ''), foreign);
    assert.deepEqual((await other.mirror.reconcile()).mended, [theirs.id]);
  });

  it('leaves a twin alone that another deployment has marked, though the secret is the same', async () => {
    const one = await side();
    const [first] = await makeKeys(one, 1);
    assert.ok(first !== undefined);
    // As where a database was copied for staging.
    const metadata = { express_llm_keys: { key_id: first.id, deployment_id: 'production' } };
    await client.keys.update(first.token, { metadata, rpm_limit: 77 });
    for (const policy of ['ours', 'theirs'] as const) {
      const report = await one.mirror.reconcile({ policy });
      assert.deepEqual(
        report.different.map(({ field }) => field),
        ['rpmLimit', 'metadata'],
      );
      assert.deepEqual(report.mended, []);
    }
    assert.equal((await client.keys.find(first.token))?.rpm_limit, 77);
    assert.equal((await one.keys.get(first.id)).rpmLimit, 10);
  });

  describe("by the policy 'theirs'", () => {
    it('makes keys what their twins are', async () => {
      const one = await side();
      const [a, b, c] = await makeKeys(one, 3);
      assert.ok(a !== undefined && b !== undefined && c !== undefined);
      await client.keys.update(a.token, {
        ...{ models: ['free', 'pricey'], rpm_limit: null, tpm_limit: 500, user_id: 'bob' },
        ...{ max_budget: 7, budget_duration: '1d', key_alias: `${a.alias}x` },
      });
      await client.keys.block(b.token);
      await one.keys.disable(c.id);
      await one.mirror.flush();
      await client.keys.unblock(c.token);
      await client.keys.update(c.token, { models: [] });
      const report = await one.mirror.reconcile({ policy: 'theirs' });
      assert.deepEqual(new Set(report.mended), new Set([a.id, b.id, c.id]));
      const [keyA, keyB, keyC] = [await one.keys.get(a.id), await one.keys.get(b.id), await one.keys.get(c.id)];
      assert.deepEqual([[...keyA.models].sort(), keyA.rpmLimit, keyA.tpmLimit], [['free', 'pricey'], null, 500]);
      assert.deepEqual([keyA.maxBudget, keyA.budgetDuration, keyA.ownerId], [7, 'daily', 'bob']);
      assert.equal(keyA.sync?.alias, `${a.alias}x`);
      assert.deepEqual([keyB.status, keyC.status, keyC.models], ['disabled', 'active', ['*']]);
      const { items } = await one.keys.audit({ keyId: a.id, action: 'key.updated' });
      assert.deepEqual(
        items.map(({ actor }) => actor.id),
        ['litellm-reconcile'],
      );
      assert.deepEqual(await one.mirror.reconcile(), { checked: 3, ...nothing });
    });

    it('obeys the maximums, and leaves what they refuse as it is on both sides', async () => {
      const one = await side({ maximums: { rpmLimit: 20 } });
      const [a, b] = await makeKeys(one, 2);
      assert.ok(a !== undefined && b !== undefined);
      await client.keys.update(a.token, { rpm_limit: 21 });
      await client.keys.block(a.token);
      await client.keys.update(b.token, { budget_duration: '1h', rpm_limit: 20 });
      const report = await one.mirror.reconcile({ policy: 'theirs' });
      assert.deepEqual(report.mended, [b.id]);
      const [keyA, twinA] = [await one.keys.get(a.id), await client.keys.find(a.token)];
      assert.deepEqual([keyA.rpmLimit, keyA.status, twinA?.rpm_limit, twinA?.blocked], [10, 'active', 21, true]);
      assert.deepEqual((await one.keys.get(b.id)).budgetDuration, 'hourly');
    });
  });

  it('leaves what a worker is yet to look at to the worker', async () => {
    const one = await side();
    const [first] = await makeKeys(one, 1);
    assert.ok(first !== undefined);
    await one.mirror.stop();
    await one.keys.update(first.id, { rpmLimit: 4 });
    assert.deepEqual(await one.mirror.reconcile(), { checked: 1, ...nothing });
    await one.mirror.flush();
    assert.equal((await client.keys.find(first.token))?.rpm_limit, 4);
  });

  it('tells how far it has come', async () => {
    const one = await side();
    await makeKeys(one, 2);
    const told: Progress[] = [];
    await one.mirror.reconcile({ onProgress: (progress) => void told.push(progress) });
    const [first, last] = [told[0], told.at(-1)];
    assert.ok(first !== undefined && last !== undefined && last.total >= 4);
    assert.equal(last.done, last.total);
    for (const { done, total } of told) assert.ok(done <= total);
  });

  it('refuses options of no use', async () => {
    const one = await side();
    const cases: readonly [object, RegExp][] = [
      [{ dryrun: true }, /dryRun/],
      [{ policy: 'both' }, /policy must be one of ours, theirs, report/],
      [{ onProgress: 1 }, /onProgress/],
      [{ dryRun: 'yes' }, /dryRun/],
    ];
    for (const [options, message] of cases) {
      await assert.rejects(one.mirror.reconcile(options as never), { name: 'TypeError', message });
    }
  });
});

describe('Mirror.reconcile, without a name of the deployment', () => {
  it('tells of twins that have no key, and leaves them', async () => {
    const fake = await fakeLiteLLM();
    const client = createLiteLLMClient({ baseUrl: fake.baseUrl, masterKey: fake.masterKey });
    const keys = createVirtualKeys({ store: memoryStore(), logger: testLog() });
    const mirror = mirrorToLiteLLM({ keys, client });
    const metadata = { express_llm_keys: { key_id: 'lost', deployment_id: 'default' } };
    fake.plant('sk-1234567890abcdef', { key_alias: 'stray', metadata });
    assert.deepEqual(await mirror.reconcile(), { checked: 0, ...nothing, extra: ['stray'] });
    assert.ok((await client.keys.find(tokenOf('sk-1234567890abcdef'))) !== undefined);
    await mirror.stop();
    await keys.close();
    await fake.close();
  });
});

describe('Mirror.reconcile: many keys', function () {
  this.timeout(120_000);

  it('finds of 2,000 keys the 50 that were changed by hand, and mends or orphans them', async () => {
    const fake = await fakeLiteLLM();
    const client = createLiteLLMClient({ baseUrl: fake.baseUrl, masterKey: fake.masterKey });
    const store = memoryStore();
    const keys = createVirtualKeys({ store, logger: testLog() });
    const many = { name: 'One of many', models: ['gpt-4o'], rpmLimit: 10, maxBudget: 3 };
    const made = await plantKeys({ keys, store, fake, deploymentId: 'many' }, many, 2000);
    const mirror = mirrorToLiteLLM({ keys, client, deploymentId: 'many' });
    const drifted = made.filter((_, at) => at % 40 === 7);
    const [removed, changed] = [drifted.slice(0, 10), drifted.slice(10)];
    await client.keys.delete(removed.map(({ token }) => token));
    for (const { token } of changed) await client.keys.update(token, { rpm_limit: 1000, models: [] });
    const before = fake.requests.length;
    const report = await mirror.reconcile({ dryRun: true });
    // 20 pages, 50 keys by themselves, and what the proxy is.
    assert.ok(fake.requests.length - before < 20 + 50 + 10, String(fake.requests.length - before));
    const ids = (of: readonly { readonly id: string }[]) => new Set(of.map(({ id }) => id));
    assert.equal(drifted.length, 50);
    assert.deepEqual(new Set(report.missing), ids(removed));
    assert.deepEqual(new Set(report.different.map(({ keyId }) => keyId)), ids(changed));
    assert.equal(report.different.length, 2 * changed.length);
    assert.deepEqual([report.checked, report.extra, report.mended], [2000, [], []]);
    assert.deepEqual(new Set((await mirror.reconcile()).mended), ids(changed));
    const { synced, orphaned, pending, error } = await mirror.status();
    assert.deepEqual({ synced, orphaned, pending, error }, { synced: 1990, orphaned: 10, pending: 0, error: 0 });
    assert.deepEqual((await mirror.reconcile()).different, []);
    await mirror.stop();
    await keys.close();
    await fake.close();
  });
});
