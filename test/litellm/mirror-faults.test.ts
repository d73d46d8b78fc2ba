import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mock } from 'node:test';
import { LiteLLMError } from '../../lib/errors.ts';
import { createVirtualKeys, type VirtualKeys } from '../../lib/index.ts';
import { createLiteLLMClient, createVault, type Mirror, mirrorToLiteLLM } from '../../lib/litellm/index.ts';
import type { MirrorOptions } from '../../lib/litellm/mirror/mirror-options.ts';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import type { Store } from '../../lib/stores/store.ts';
import { type FaultyStore, faultyStore } from '../support/faulty-store.ts';
import { type FakeLiteLLM, type FakeOptions, fakeLiteLLM } from '../support/litellm/fake-litellm.ts';
import { type TestLog, testLog } from '../support/service.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const failed = { kind: 'status', status: 500, body: { error: { message: 'Internal', type: 'None' } } } as const;
const aliasTaken = {
  kind: 'status',
  status: 400,
  body: { error: { message: "Key with alias 'x' already exists.", type: 'bad_request_error', param: 'key_alias' } },
} as const;
const down = { name: 'LiteLLMError', code: 'litellm_unavailable', status: 503 };
const leaseMs = 60_000;
const nothing = { pending: 0, synced: 0, error: 0, orphaned: 0, waiting: { now: 0, later: 0 } };

interface Mirrored {
  readonly keys: VirtualKeys;
  readonly mirror: Mirror;
  readonly proxy: FakeLiteLLM;
  readonly store: FaultyStore<Store>;
  readonly log: TestLog;
  readonly client: ReturnType<typeof createLiteLLMClient>;
  /** Of the twins that there are, by the hash of their secrets. */
  twins(): Promise<readonly string[]>;
}

describe('mirrorToLiteLLM, when something fails', () => {
  const closing: (() => Promise<void>)[] = [];

  async function mirrored(
    options: Partial<MirrorOptions> = {},
    fake: FakeOptions = {},
    clock = () => Date.now(),
  ): Promise<Mirrored> {
    const [proxy, log] = [await fakeLiteLLM(fake), testLog()];
    const store = faultyStore<Store>(memoryStore());
    const keys = createVirtualKeys({ store: store.store, logger: log, clock, storeTimeoutMs: 100 });
    const client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey, timeoutMs: 1000 });
    const mirror = mirrorToLiteLLM({ keys, client, deploymentId: 'test', leaseMs, ...options });
    closing.push(mirror.stop, () => keys.close(), proxy.close);
    const twins = async () => (await client.keys.list()).keys.map(({ token }) => token ?? '');
    return { keys, mirror, proxy, store, log, client, twins };
  }
  const vault = createVault({ key: randomBytes(32) });
  const queue = { whenDown: 'queue', vault } as const;

  // All that tells the time: the service, the store, the client's breaker, and the proxy.
  beforeEach(() => mock.timers.enable({ apis: ['Date'], now: Date.now() }));
  afterEach(async () => {
    mock.timers.reset();
    for (const close of closing.splice(0)) await close();
  });

  it('refuses to make a key while LiteLLM is down, and nothing is changed on either side', async () => {
    const { keys, mirror, proxy, twins } = await mirrored();
    proxy.goDown();
    await assert.rejects(keys.create({ name: 'Refused', models: ['*'] }), down);
    assert.equal((await keys.count()).total, 0);
    assert.equal((await keys.audit()).total, 0);
    proxy.goDown(false);
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    assert.deepEqual(await twins(), []);
    assert.deepEqual(await mirror.status(), nothing);
  });

  it('refuses to rotate a key while LiteLLM is down, and its secret stays good', async () => {
    const { keys, mirror, proxy, client } = await mirrored();
    const { key, secret } = await keys.create({ name: 'Kept', models: ['*'] });
    await mirror.flush();
    const twin = await client.keys.find(sha256(secret));
    proxy.goDown();
    await assert.rejects(keys.rotate(key.id), down);
    proxy.goDown(false);
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    assert.equal((await keys.verify(secret)).valid, true);
    assert.deepEqual(await client.keys.find(sha256(secret)), twin);
    const { version, sync } = await keys.get(key.id);
    assert.deepEqual([version, sync?.state, sync?.alias], [1, 'synced', key.alias]);
  });

  it('keeps the secret in the vault while LiteLLM is down, and erases it when LiteLLM has it', async () => {
    const { keys, mirror, proxy, store, client } = await mirrored(queue);
    proxy.goDown();
    const { key, secret } = await keys.create({ name: 'Queued', models: ['*'], rpmLimit: 4 });
    assert.equal(key.sync?.state, 'pending');
    assert.equal((await keys.verify(secret)).valid, true);
    const [waiting] = await store.store.findTwins([key.id]);
    assert.match(JSON.stringify(waiting), /"sealed":"[\w-]+"/);
    assert.ok(!JSON.stringify(waiting).includes(secret));
    await mirror.flush();
    proxy.goDown(false);
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    assert.equal((await client.keys.find(sha256(secret)))?.rpm_limit, 4);
    assert.equal((await keys.get(key.id)).sync?.state, 'synced');
    const [delivered] = await store.store.findTwins([key.id]);
    assert.match(JSON.stringify(delivered), /"sealed":null/);
  });

  it('a key that is rotated in the vault goes on from what was spent, and both secrets are good while the grace lasts', async () => {
    const { keys, mirror, proxy, client } = await mirrored(queue);
    const { key, secret } = await keys.create({ name: 'Rotated', models: ['*'], maxBudget: 5 });
    await client.keys.update(sha256(secret), { spend: 3 });
    await mirror.flush();
    proxy.goDown();
    const { secret: second } = await keys.rotate(key.id, { graceSeconds: 3600 });
    await mirror.flush();
    proxy.goDown(false);
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    const [old, young] = await Promise.all([secret, second].map((each) => client.keys.find(sha256(each))));
    assert.equal(young?.spend, 3);
    assert.equal(young?.key_alias, key.alias);
    assert.ok(old !== undefined && old.expires !== null && old.key_alias !== key.alias);
    mock.timers.tick(3_600_000);
    await mirror.flush();
    assert.equal(await client.keys.find(sha256(secret)), undefined);
  });

  it('a key that could not be stored leaves no twin', async () => {
    const { keys, mirror, store, twins } = await mirrored();
    store.break('fail', 'insertKey');
    await assert.rejects(keys.create({ name: 'Lost', models: ['*'] }), { code: 'store_unavailable' });
    store.mend();
    await mirror.flush();
    assert.deepEqual(await twins(), []);
    assert.deepEqual(await mirror.status(), nothing);
  });

  it('where neither side can be told, what is left is cleared up later', async () => {
    const { keys, mirror, proxy, store, twins } = await mirrored();
    store.break('fail', 'insertKey');
    const refused = assert.rejects(keys.create({ name: 'Lost', models: ['*'] }), { code: 'store_unavailable' });
    while (!store.failed.includes('insertKey')) await new Promise(setImmediate);
    store.break('fail');
    proxy.goDown();
    await refused;
    store.mend();
    proxy.goDown(false);
    assert.equal((await twins()).length, 1);
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    assert.deepEqual(await twins(), []);
    assert.deepEqual(await mirror.status(), nothing);
  });

  it('changes nothing while the store cannot keep what it is about to do', async () => {
    const { keys, mirror, proxy, store, twins } = await mirrored();
    for (const fault of ['fail', 'hang'] as const) {
      for (const method of ['now', 'enqueueOutbox', 'findTwins', 'putTwin'] as const) {
        store.break(fault, method);
        await assert.rejects(keys.create({ name: 'No', models: ['*'] }), { code: 'store_unavailable' }, method);
        store.mend();
      }
    }
    assert.deepEqual(proxy.writes, []);
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    assert.equal((await keys.count()).total, 0);
    assert.deepEqual(await twins(), []);
    assert.deepEqual(await mirror.status(), nothing);
  });

  it('a key that is made while the store answers late keeps its twin', async () => {
    const { keys, mirror, store, client } = await mirrored();
    // The key is stored, and nobody hears of it.
    store.break('lose_reply', 'insertKey');
    await assert.rejects(keys.create({ name: 'Unheard', models: ['*'] }), { code: 'store_unavailable' });
    store.mend();
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    const { items } = await keys.list();
    assert.deepEqual([items.length, items[0]?.sync?.state], [1, 'synced']);
    assert.equal((await client.keys.list()).total_count, 1);
  });

  for (const generation of ['new', 'old'] as const) {
    it(`finishes what LiteLLM did without an answer, and what it failed to do (${generation} releases)`, async () => {
      const { keys, mirror, proxy, client } = await mirrored({}, { generation });
      proxy.fail('/key/generate', { kind: 'lost_reply' });
      const { key, secret } = await keys.create({ name: 'Slow', models: ['*'], rpmLimit: 9 });
      assert.equal(key.sync?.state, 'synced');
      proxy.fail('/key/generate', failed);
      const { secret: second } = await keys.rotate(key.id);
      await mirror.flush();
      assert.equal((await client.keys.list()).total_count, 1);
      proxy.fail('/key/update', { kind: 'lost_reply' }, failed, { kind: 'silence' });
      await keys.update(key.id, { rpmLimit: 3 });
      await mirror.flush();
      for (let tries = 0; (await keys.get(key.id)).sync?.state !== 'synced' && tries < 5; tries += 1) {
        assert.equal((await mirror.resync(key.id)).error?.includes(second), undefined);
      }
      assert.equal((await client.keys.find(sha256(second)))?.rpm_limit, 3);
      proxy.fail('/key/delete', { kind: 'lost_reply' });
      await keys.delete(key.id);
      await mirror.flush();
      mock.timers.tick(leaseMs * 2 + 1);
      await mirror.flush();
      assert.deepEqual(
        [await client.keys.find(sha256(secret)), await client.keys.find(sha256(second))],
        [undefined, undefined],
      );
      assert.deepEqual(await mirror.status(), nothing);
    });

    it(`leaves out what only the Enterprise edition has, with a warning (${generation} releases)`, async () => {
      const { keys, mirror, client } = await mirrored({}, { generation });
      const { key, secret } = await keys.create({
        name: 'Paid',
        models: ['*'],
        modelMaxBudget: { free: 1 },
        rpmLimit: 2,
      });
      assert.equal(key.sync?.state, 'synced');
      assert.deepEqual(key.sync?.warnings, ['modelMaxBudget is held by LiteLLM Enterprise alone']);
      assert.equal((await client.keys.find(sha256(secret)))?.rpm_limit, 2);
      await keys.update(key.id, { rpmLimit: 1 });
      await mirror.flush();
      assert.equal((await client.keys.find(sha256(secret)))?.rpm_limit, 1);
      assert.deepEqual((await keys.get(key.id)).sync?.warnings, ['modelMaxBudget is held by LiteLLM Enterprise alone']);
    });

    it(`clears a budget and its period, or says that the period stays (${generation} releases)`, async () => {
      const { keys, mirror, client } = await mirrored({}, { generation });
      const { key, secret } = await keys.create({ name: 'P', models: ['*'], maxBudget: 2, budgetDuration: 'monthly' });
      await keys.update(key.id, { maxBudget: null, budgetDuration: null });
      await mirror.flush();
      const twin = await client.keys.find(sha256(secret));
      const { sync } = await keys.get(key.id);
      const kept = 'LiteLLM keeps the former period of the budget until the key is rotated';
      assert.deepEqual(
        [twin?.max_budget, twin?.budget_duration, sync?.state, sync?.warnings],
        generation === 'old' ? [null, '1mo', 'synced', [kept]] : [null, null, 'synced', []],
      );
    });
  }

  it('takes another alias where somebody was quicker, up to five times', async () => {
    const { keys, proxy, client } = await mirrored();
    proxy.fail('/key/generate', ...Array.from({ length: 4 }, () => aliasTaken));
    const { key, secret } = await keys.create({ name: 'Raced', models: ['*'] });
    assert.equal((await client.keys.find(sha256(secret)))?.key_alias, key.sync?.alias);
    assert.match(key.sync?.alias ?? '', /^Raced_[0-9a-f]{8}$/);
    assert.notEqual(key.sync?.alias, key.alias);
  });

  it('a secret that is tried again for an alias is another one, and the twin of the key stays', async () => {
    const { keys, mirror, proxy, twins } = await mirrored();
    proxy.fail('/key/generate', ...Array.from({ length: 5 }, () => aliasTaken));
    const { key, secret } = await keys.create({ name: 'Raced', models: ['*'] });
    await mirror.flush();
    assert.deepEqual(await twins(), [sha256(secret)]);
    assert.equal((await keys.get(key.id)).sync?.state, 'synced');
    assert.deepEqual(await mirror.status(), { ...nothing, synced: 1 });
  });

  it('a rotation that others come before has the twin of its last secret alone', async () => {
    const { keys, mirror, proxy, twins } = await mirrored();
    const { key } = await keys.create({ name: 'Contended', models: ['*'] });
    await mirror.flush();
    // Between the read and the write of the rotation somebody else changes the key.
    const rotating = keys.rotate(key.id);
    while (!proxy.requests.slice(-1).includes('POST /key/generate')) await new Promise(setImmediate);
    await keys.update(key.id, { rpmLimit: 2 });
    const { secret } = await rotating;
    await mirror.flush();
    assert.deepEqual(await twins(), [sha256(secret)]);
    assert.equal((await keys.get(key.id)).sync?.state, 'synced');
  });

  describe('closes again what LiteLLM opens later, when it was not waited for any more,', () => {
    function later() {
      let happen = (): void => undefined;
      const when = new Promise<void>((resolve) => {
        happen = resolve;
      });
      return { late: { kind: 'late', when } as const, happen };
    }

    it('of a key that was disabled meanwhile', async () => {
      const { keys, mirror, proxy, client } = await mirrored();
      const { key, secret } = await keys.create({ name: 'Open', models: ['*'] });
      await keys.disable(key.id);
      await mirror.flush();
      const { late, happen } = later();
      proxy.fail('/key/unblock', late);
      await keys.enable(key.id);
      await mirror.flush();
      await keys.disable(key.id);
      await mirror.flush();
      assert.equal((await client.keys.find(sha256(secret)))?.blocked, true);
      happen();
      assert.equal((await client.keys.find(sha256(secret)))?.blocked, false);
      mock.timers.tick(leaseMs * 2 + 1);
      await mirror.flush();
      assert.equal((await client.keys.find(sha256(secret)))?.blocked, true);
      assert.deepEqual((await mirror.status()).waiting, { now: 0, later: 0 });
    });

    it('of a key whose making was refused here', async () => {
      const { keys, mirror, proxy, twins } = await mirrored();
      const { late, happen } = later();
      proxy.fail('/key/generate', late, failed, failed);
      await assert.rejects(keys.create({ name: 'Refused', models: ['*'] }), down);
      mock.timers.tick(leaseMs + 1);
      await mirror.flush();
      happen();
      assert.equal((await twins()).length, 1);
      mock.timers.tick(leaseMs + 1);
      await mirror.flush();
      assert.deepEqual(await twins(), []);
      assert.deepEqual(await mirror.status(), nothing);
    });

    for (const close of ['revoke', 'delete'] as const) {
      for (const options of [{}, queue]) {
        it(`of a key that ${options === queue ? 'waited in the vault' : 'was made at the second try'}, by ${close}`, async () => {
          const { keys, mirror, proxy, client } = await mirrored(options);
          const { late, happen } = later();
          proxy.fail('/key/generate', late, ...(options === queue ? [failed, failed] : []));
          const { key, secret } = await keys.create({ name: 'Late', models: ['*'] });
          await keys[close](key.id);
          await mirror.flush();
          assert.equal(await client.keys.find(sha256(secret)), undefined);
          happen();
          assert.notEqual(await client.keys.find(sha256(secret)), undefined);
          mock.timers.tick(leaseMs * 2 + 1);
          await mirror.flush();
          assert.equal(await client.keys.find(sha256(secret)), undefined);
          assert.deepEqual((await mirror.status()).waiting, { now: 0, later: 0 });
        });
      }
    }
  });

  it('a record that cannot be read closes its twin until it is mended', async () => {
    const { keys, mirror, store, client } = await mirrored();
    const { key, secret } = await keys.create({ name: 'Torn', models: ['*'] });
    await mirror.flush();
    const findKey = store.store.findKey;
    store.store.findKey = async (id) => ({ id }) as never;
    const { state, error } = await mirror.resync(key.id);
    assert.deepEqual([state, error], ['error', 'The record of the key cannot be read']);
    assert.equal((await client.keys.find(sha256(secret)))?.blocked, true);
    store.store.findKey = findKey;
    assert.equal((await mirror.resync(key.id)).state, 'synced');
    assert.equal((await client.keys.find(sha256(secret)))?.blocked, false);
  });

  it('a twin ends no later than its key where the clock of LiteLLM is ahead', async () => {
    const { keys, mirror, client } = await mirrored({}, {}, () => Date.now() - 5000);
    const expiresAtMs = Date.now() + 3_600_000;
    const { key, secret } = await keys.create({ name: 'Ending', models: ['*'], expiresAt: expiresAtMs });
    for (const addedMs of [0, 600_000]) {
      if (addedMs > 0) await keys.update(key.id, { expiresAt: expiresAtMs + addedMs });
      await mirror.flush();
      assert.equal((await keys.get(key.id)).sync?.state, 'synced');
      const endsMs = Date.parse((await client.keys.find(sha256(secret)))?.expires ?? '');
      assert.ok(endsMs <= expiresAtMs + addedMs && endsMs > expiresAtMs + addedMs - 2000);
    }
  });

  it('a twin whose alias was emptied there is known as before', async () => {
    const { keys, mirror, client } = await mirrored();
    const { key, secret } = await keys.create({ name: 'Named', models: ['*'] });
    await mirror.flush();
    await client.keys.update(sha256(secret), { key_alias: '', rpm_limit: 5 });
    mock.timers.tick(1);
    assert.deepEqual((await mirror.reconcile({ policy: 'theirs' })).mended, [key.id]);
    const { sync, rpmLimit } = await keys.get(key.id);
    assert.deepEqual([sync?.state, rpmLimit], ['synced', 5]);
    await keys.revoke(key.id);
    await mirror.flush();
    assert.equal(await client.keys.find(sha256(secret)), undefined);
  });

  it('other keys go on while one of them fails, and it goes on when it can', async () => {
    const { keys, mirror, proxy, client } = await mirrored();
    const made = await Promise.all(['a', 'b', 'c'].map((name) => keys.create({ name, models: ['*'], rpmLimit: 9 })));
    await mirror.flush();
    proxy.fail('/key/update', { kind: 'status', status: 400 });
    for (const { key } of made) await keys.update(key.id, { models: ['free'] });
    await mirror.flush();
    const states = async () => {
      const { items } = await keys.list();
      return items.map(({ sync }) => sync?.state).sort();
    };
    assert.deepEqual(await states(), ['error', 'synced', 'synced']);
    mock.timers.tick(2000);
    await mirror.flush();
    assert.deepEqual(await states(), ['synced', 'synced', 'synced']);
    for (const { secret } of made) assert.deepEqual((await client.keys.find(sha256(secret)))?.models, ['free']);
  });

  it('a closed key is closed there also where its rotation was never finished', async () => {
    const { keys, mirror, store, twins } = await mirrored();
    const { key } = await keys.create({ name: 'Closed', models: ['*'] });
    await mirror.flush();
    // The rotation is stored, and whoever made it is not heard of any more.
    store.break('lose_reply', 'updateKey');
    await assert.rejects(keys.rotate(key.id));
    store.mend();
    await keys.revoke(key.id);
    await mirror.flush();
    assert.deepEqual(await twins(), []);
  });

  it('starts a budget anew whose periods LiteLLM does not know', async () => {
    const { keys, mirror, client } = await mirrored();
    mock.timers.setTime(Date.UTC(2030, 5, 1));
    const { key, secret } = await keys.create({
      name: 'Yearly',
      models: ['*'],
      maxBudget: 5,
      budgetDuration: 'yearly',
    });
    await mirror.flush();
    assert.deepEqual(key.sync?.warnings, []);
    await client.keys.update(sha256(secret), { spend: 5 });
    await mirror.flush();
    assert.equal((await client.keys.find(sha256(secret)))?.spend, 5);
    mock.timers.setTime(Date.UTC(2031, 0, 1));
    await mirror.flush();
    assert.equal((await client.keys.find(sha256(secret)))?.spend, 0);
    await client.keys.update(sha256(secret), { spend: 2 });
    await keys.update(key.id, { rpmLimit: 3 });
    await mirror.flush();
    assert.equal((await client.keys.find(sha256(secret)))?.spend, 2);
  });

  it('stops when what is being sent is answered, and leaves the rest to others', async () => {
    const { keys, mirror, proxy } = await mirrored();
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, at) => keys.create({ name: `k${at}`, models: ['*'], rpmLimit: 9 })),
    );
    await mirror.flush();
    for (const { key } of made) await keys.update(key.id, { rpmLimit: 1 });
    await mirror.start();
    const flushed = assert.rejects(mirror.flush(), /stopped/);
    while (!proxy.requests.slice(-1).includes('POST /key/update')) await new Promise(setImmediate);
    await mirror.stop();
    await flushed;
    const sent = proxy.requests.length;
    const { waiting } = await mirror.status();
    assert.ok(waiting.now > 0 && waiting.now < 20, String(waiting.now));
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(proxy.requests.length, sent);
    await mirror.flush();
    assert.deepEqual(await mirror.status(), { ...nothing, synced: 20 });
  });

  it('a vault that cannot open what it sealed keeps the key waiting, and says so', async () => {
    let isLocked = false;
    const other = {
      seal: vault.seal,
      open: (text: string) => (isLocked ? Promise.reject(new Error(text)) : vault.open(text)),
    };
    const { keys, mirror, proxy, log, twins } = await mirrored({ whenDown: 'queue', vault: other });
    proxy.goDown();
    const { key, secret } = await keys.create({ name: 'Locked', models: ['*'] });
    proxy.goDown(false);
    isLocked = true;
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    const { sync } = await keys.get(key.id);
    assert.deepEqual(
      [sync?.state, sync?.error],
      ['pending', 'The vault did not open a secret that is to wait for LiteLLM'],
    );
    isLocked = false;
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    assert.deepEqual(await twins(), [sha256(secret)]);
    assert.deepEqual(log.lines, []);
  });

  for (const [path, what] of [
    ['/model/info', 'which models it has'],
    ['/key/generate', 'whether it has made the twin'],
  ] as const) {
    it(`keeps nobody waiting for LiteLLM where the secret can wait, and it does not say ${what}`, async () => {
      const { keys, mirror, proxy, twins } = await mirrored(queue);
      proxy.fail(path, { kind: 'silence' }, { kind: 'silence' }, { kind: 'silence' });
      const beganMs = performance.now();
      const { key, secret } = await keys.create({ name: 'Quick', models: ['*'] });
      assert.equal(key.sync?.state, 'pending');
      assert.ok(performance.now() - beganMs < 1900);
      proxy.fail(path);
      mock.timers.tick(2 * leaseMs);
      await mirror.flush();
      mock.timers.tick(4 * leaseMs);
      await mirror.flush();
      assert.deepEqual(await twins(), [sha256(secret)]);
      assert.equal((await keys.get(key.id)).sync?.state, 'synced');
    });
  }

  it('leaves a secret that waits to a process that has the vault, whether that one queues or not', async () => {
    const { keys, proxy, store, client, mirror, twins } = await mirrored(queue);
    proxy.goDown();
    const { key, secret } = await keys.create({ name: 'Locked', models: ['*'] });
    proxy.goDown(false);
    await mirror.stop();
    const shared = { store: store.store, storeTimeoutMs: 100 };
    const others = [createVirtualKeys(shared), createVirtualKeys(shared)] as const;
    closing.push(...others.map((other) => () => other.close()));
    const without = mirrorToLiteLLM({ keys: others[0], client, deploymentId: 'test', leaseMs });
    mock.timers.tick(leaseMs + 1);
    await without.flush();
    await without.reconcile();
    const { sync } = await others[0].get(key.id);
    assert.deepEqual(
      [sync?.state, sync?.error],
      ['pending', 'The secret waits in a vault that this process has not got'],
    );
    assert.deepEqual(await twins(), []);
    const withVault = mirrorToLiteLLM({ keys: others[1], client, deploymentId: 'test', leaseMs, vault });
    mock.timers.tick(leaseMs + 1);
    await withVault.flush();
    assert.deepEqual(await twins(), [sha256(secret)]);
    assert.equal((await others[1].get(key.id)).sync?.state, 'synced');
  });

  it('tells nobody a secret, a hash, a token or the master key', async () => {
    const { keys, mirror, proxy, store, log } = await mirrored(queue);
    const told: unknown[] = [];
    for (const name of [
      'key.created',
      'key.updated',
      'key.rotated',
      'key.revoked',
      'key.deleted',
      'sync.changed',
    ] as const) {
      keys.on(name, (event) => void told.push([name, event]));
    }
    const echo = (secret: string) =>
      ({
        kind: 'status',
        status: 400,
        body: { error: { message: `${secret} ${sha256(secret)} ${proxy.masterKey}`, type: secret, param: secret } },
      }) as const;
    const { key, secret } = await keys.create({ name: 'Discreet', models: ['*'] });
    await mirror.flush();
    proxy.goDown();
    const { secret: second } = await keys.rotate(key.id, { graceSeconds: 60 });
    const [row] = await store.store.findTwins([key.id]);
    const sealed = /"sealed":"([\w-]+)"/.exec(JSON.stringify(row))?.[1];
    await mirror.flush();
    proxy.goDown(false);
    proxy.fail('/key/update', echo(secret), echo(second));
    proxy.fail('/key/generate', echo(second));
    mock.timers.tick(leaseMs + 1);
    await mirror.flush();
    told.push(await keys.get(key.id), await keys.list(), await keys.audit(), await mirror.status());
    proxy.fail('/key/generate', echo(second));
    const error: unknown = await keys.rotate(key.id).catch((refusal: unknown) => refusal);
    assert.ok(error instanceof LiteLLMError);
    told.push(error.stack, error.message, { ...error }, error.cause);
    store.break('fail');
    await mirror.start();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await mirror.stop();
    store.mend();
    await keys.delete(key.id);
    await mirror.flush();
    const all = JSON.stringify([told, log.lines]);
    assert.ok(sealed !== undefined);
    assert.deepEqual([told.length > 8, log.lines.length > 0], [true, true]);
    const hidden = [secret, second, sha256(secret), sha256(second), proxy.masterKey, sealed];
    for (const [at, text] of hidden.entries()) assert.ok(!all.includes(text), `${at} is told: ${all}`);
  });

  it('begins with one error that names what is wrong', async () => {
    const cases: readonly (readonly [FakeOptions, RegExp])[] = [
      [{ hasDatabase: false }, /has no database/],
      [{ version: '1.82.5', generation: 'old' }, /1\.82\.5 is too old/],
      [{ version: '1.82.7', generation: 'old' }, /malware/],
    ];
    for (const [fake, message] of cases) {
      const { mirror } = await mirrored({}, fake);
      await assert.rejects(mirror.start(), { name: 'LiteLLMError', message });
    }
    for (const generation of ['new', 'old'] as const) {
      const { baseUrl } = await fakeLiteLLM({ generation });
      const client = createLiteLLMClient({ baseUrl, masterKey: 'sk-other' });
      const { mirror } = await mirrored({ client });
      await assert.rejects(mirror.start(), { message: 'LiteLLM does not take this master key' });
    }
    const { proxy } = await mirrored();
    const client = createLiteLLMClient({ baseUrl: `${proxy.baseUrl}/elsewhere`, masterKey: proxy.masterKey });
    const { mirror } = await mirrored({ client });
    await assert.rejects(mirror.start(), { message: 'There is no LiteLLM at this URL: it knows no /health' });
  });
});
