import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import express from 'express';
import { createVirtualKeys, getLlm, memoryStore, priceBook, type VirtualKeys } from '../../lib/index.ts';
import {
  createLiteLLMClient,
  type LiteLLMClient,
  type LiteLLMSpendQuery,
  type Mirror,
  mirrorToLiteLLM,
} from '../../lib/litellm/index.ts';
import { chainedApp } from '../support/apps.ts';
import { type Listening, listen } from '../support/listen.ts';
import { fakeLiteLLM } from '../support/litellm/fake-litellm.ts';
import { type LiteLLMProxy, litellmProxy } from '../support/litellm/litellm-proxy.ts';
import { nextMillisecond } from '../support/litellm/next-millisecond.ts';
import { tokenOf } from '../support/litellm/token-of.ts';
import { testLog } from '../support/service.ts';

const rounded = (usd: number) => Math.round(usd * 1e7) / 1e7;

describe('Mirror.pullSpend', function () {
  this.timeout(120_000);
  let proxy: LiteLLMProxy;
  let client: LiteLLMClient;
  let keys: VirtualKeys;
  let mirror: Mirror;
  let app: Listening;
  let upstreamKey: string;
  // The same as the proxy's.
  const prices = priceBook({ '*': { inputPerMillion: 10, outputPerMillion: 20 } });
  const calls = () => (proxy.isReal ? 5 : 50);

  before(async () => {
    proxy = await litellmProxy();
    client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
    upstreamKey = `sk-${randomBytes(16).toString('hex')}`;
    await client.keys.generate({ key: upstreamKey, key_alias: `upstream_${randomBytes(4).toString('hex')}` });
  });
  after(() => proxy.close());

  beforeEach(async () => {
    keys = createVirtualKeys({ store: memoryStore(), prices, logger: testLog() });
    mirror = mirrorToLiteLLM({ keys, client, deploymentId: `spend-${randomBytes(4).toString('hex')}` });
    await mirror.start();
    // A handler whose own client of LiteLLM has a credential of its own.
    const handler = express.Router().post('/v1/chat/completions', async (req, res) => {
      const answer = await getLlm(req).fetch(`${proxy.baseUrl}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${upstreamKey}`, 'content-type': 'application/json' },
        body: JSON.stringify(req.body),
      });
      res.status(answer.status).json(await answer.json());
    });
    app = await listen(chainedApp(express, keys, {}, handler));
  });
  afterEach(async () => {
    await app.close();
    await mirror.stop();
    await keys.close();
  });

  async function call(baseUrl: string, secret: string, times: number): Promise<void> {
    for (let at = 0; at < times; at += 1) {
      const response = await fetch(`${baseUrl}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], max_tokens: 20 }),
      });
      assert.equal(response.status, 200, await response.text());
    }
  }

  const throughUs = (secret: string, times: number) => call(app.url, secret, times);
  const direct = (secret: string, times: number) => call(proxy.baseUrl, secret, times);

  /** Waits until LiteLLM has logged so many calls of a secret, and counted what they cost; answers that, in USD. */
  async function logged(secret: string, count: number, beforeUsd = 0): Promise<number> {
    const [token, nowMs] = [tokenOf(secret), Date.now()];
    const window = { token, fromMs: nowMs - 600_000, untilMs: nowMs + 600_000 };
    const endMs = performance.now() + 30_000;
    for (;;) {
      const { data, total } = await client.spendLogs(window);
      const sumUsd = data.reduce((sum, { spend }) => sum + spend, 0);
      const countedUsd = (await client.keys.find(token))?.spend ?? 0;
      if (total === count && sumUsd > 0 && Math.abs(countedUsd - beforeUsd - sumUsd) < 1e-9) return sumUsd;
      assert.ok(performance.now() < endMs, `LiteLLM has logged ${total} of ${count} calls`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async function usage(keyId: string) {
    const { totals } = await keys.usage({ keyId });
    return { requests: totals.requests, costUsd: rounded(totals.costUsd) };
  }

  it('counts each call once, whichever way it went, also when it is pulled again, and by two at once', async () => {
    const { key, secret } = await keys.create({ name: 'Both', models: ['gpt-4o'], maxBudget: 10 });
    await throughUs(secret, calls());
    await direct(secret, calls());
    const directUsd = await logged(secret, calls());
    const ours = await usage(key.id);
    assert.ok(ours.requests === calls() && ours.costUsd > 0);
    const [a, b] = await Promise.all([mirror.pullSpend({ settleMs: 0 }), mirror.pullSpend({ settleMs: 0 })]);
    assert.equal(a.recorded + b.recorded, calls());
    const both = { requests: 2 * calls(), costUsd: rounded(ours.costUsd + directUsd) };
    assert.deepEqual(await usage(key.id), both);
    assert.deepEqual(await mirror.pullSpend({ settleMs: 0 }), { checked: 1, recorded: 0, costUsd: 0 });
    assert.deepEqual(await usage(key.id), both);
    assert.equal(rounded((await keys.get(key.id)).spend), both.costUsd);
    await throughUs(secret, 1);
    const { costUsd } = await usage(key.id);
    await direct(secret, 1);
    const addedUsd = (await logged(secret, calls() + 1)) - directUsd;
    const report = await mirror.pullSpend({ settleMs: 0 });
    assert.deepEqual([report.recorded, rounded(report.costUsd)], [1, rounded(addedUsd)]);
    assert.deepEqual(await usage(key.id), { requests: 2 * calls() + 2, costUsd: rounded(costUsd + addedUsd) });
    const { rows } = await keys.usage({ keyId: key.id, groupBy: ['model'] });
    assert.deepEqual(
      rows.map(({ model }) => model),
      ['gpt-4o'],
    );
  });

  it('leaves calls that ended a moment ago to the next pull', async () => {
    const { key, secret } = await keys.create({ name: 'Fresh', models: ['gpt-4o'] });
    await direct(secret, 2);
    const costUsd = await logged(secret, 2);
    assert.equal((await mirror.pullSpend()).recorded, 0);
    assert.deepEqual(await usage(key.id), { requests: 0, costUsd: 0 });
    assert.equal((await mirror.pullSpend({ settleMs: 0 })).recorded, 2);
    assert.deepEqual(await usage(key.id), { requests: 2, costUsd: rounded(costUsd) });
  });

  it('counts for an imported key what was spent before in one sum, and after that each call', async () => {
    const secret = `sk-${randomBytes(16).toString('hex')}`;
    const alias = `taken_${randomBytes(4).toString('hex')}`;
    await client.keys.generate({ key: secret, key_alias: alias, models: ['gpt-4o'] });
    await direct(secret, 3);
    const beforeUsd = await logged(secret, 3);
    const { imported } = await mirror.importKeys({ filter: ({ key_alias }) => key_alias === alias });
    const [id = ''] = imported;
    const opening = { requests: 1, costUsd: rounded(beforeUsd) };
    assert.deepEqual(await usage(id), opening);
    await mirror.pullSpend({ settleMs: 0 });
    assert.deepEqual(await usage(id), opening);
    await direct(secret, 2);
    const afterUsd = await logged(secret, 5);
    assert.equal((await mirror.pullSpend({ settleMs: 0 })).recorded, 2);
    assert.deepEqual(await usage(id), { requests: 3, costUsd: rounded(afterUsd) });
  });

  it('counts what was spent with a secret before it was rotated or revoked', async () => {
    const { key, secret } = await keys.create({ name: 'Rotated', models: ['gpt-4o'] });
    await direct(secret, 2);
    const firstUsd = await logged(secret, 2);
    const { secret: second } = await keys.rotate(key.id);
    await mirror.flush();
    await direct(second, 1);
    const secondUsd = await logged(second, 1, firstUsd);
    await keys.revoke(key.id);
    await mirror.flush();
    assert.equal(await client.keys.find(tokenOf(second)), undefined);
    assert.equal((await mirror.pullSpend({ settleMs: 0 })).recorded, 3);
    const sum = { requests: 3, costUsd: rounded(firstUsd + secondUsd) };
    assert.deepEqual(await usage(key.id), sum);
    assert.equal((await mirror.pullSpend({ settleMs: 0 })).recorded, 0);
    assert.deepEqual(await usage(key.id), sum);
  });

  it('refuses options of no use', async () => {
    await assert.rejects(mirror.pullSpend({ settleMs: -1 }), { name: 'TypeError', message: /settleMs/ });
    await assert.rejects(mirror.pullSpend({ since: 1 } as never), { name: 'TypeError', message: /since/ });
  });
});

describe('Mirror.pullSpend: what it asks', function () {
  this.timeout(60_000);

  it('goes on where a key is deleted meanwhile, and leaves nothing of it', async () => {
    const fake = await fakeLiteLLM();
    const keys = createVirtualKeys({ store: memoryStore(), logger: testLog() });
    const client = createLiteLLMClient({ baseUrl: fake.baseUrl, masterKey: fake.masterKey });
    let gone: string | undefined;
    async function spendLogs(query: LiteLLMSpendQuery) {
      const id = gone;
      gone = undefined;
      if (id !== undefined) {
        await keys.delete(id);
        await mirror.flush();
      }
      return client.spendLogs(query);
    }
    const mirror = mirrorToLiteLLM({ keys, client: { ...client, spendLogs } });
    const made = [];
    for (const name of ['Kept', 'Gone']) made.push(await keys.create({ name, models: ['gpt-4o'] }));
    for (const { secret } of made) {
      await fetch(`${fake.baseUrl}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-4o' }),
      });
    }
    await nextMillisecond();
    gone = made[1]?.key.id;
    assert.equal((await mirror.pullSpend({ settleMs: 0 })).recorded, 1);
    const { waiting, ...counts } = await mirror.status();
    assert.deepEqual([counts, waiting.now], [{ pending: 0, synced: 1, error: 0, orphaned: 0 }, 0]);
    await mirror.stop();
    await keys.close();
    await fake.close();
  });

  it('counts a call whose model has no name that may be one here', async () => {
    const fake = await fakeLiteLLM();
    const keys = createVirtualKeys({ store: memoryStore(), logger: testLog() });
    const client = createLiteLLMClient({ baseUrl: fake.baseUrl, masterKey: fake.masterKey });
    const mirror = mirrorToLiteLLM({
      keys,
      client: {
        ...client,
        async spendLogs(query) {
          const page = await client.spendLogs(query);
          return { ...page, data: page.data.map((call) => ({ ...call, model_group: 'm'.repeat(300) })) };
        },
      },
    });
    const { key, secret } = await keys.create({ name: 'Odd', models: ['gpt-4o'] });
    await fetch(`${fake.baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-4o' }),
    });
    await nextMillisecond();
    const { recorded, costUsd } = await mirror.pullSpend({ settleMs: 0 });
    assert.ok(recorded === 1 && costUsd > 0);
    const { rows } = await keys.usage({ keyId: key.id, groupBy: ['model'] });
    assert.deepEqual(
      rows.map(({ model, costUsd: cost }) => [model, cost]),
      [[null, costUsd]],
    );
    await mirror.stop();
    await keys.close();
    await fake.close();
  });

  it('reads the log of those keys that have spent something since, and of no other', async () => {
    const fake = await fakeLiteLLM();
    const store = memoryStore();
    const keys = createVirtualKeys({ store, logger: testLog() });
    const mirror = mirrorToLiteLLM({
      keys,
      client: createLiteLLMClient({ baseUrl: fake.baseUrl, masterKey: fake.masterKey }),
    });
    const made = [];
    for (let at = 0; at < 20; at += 1) made.push(await keys.create({ name: `Key ${at}`, models: ['gpt-4o'] }));
    const [{ key, secret } = assert.fail()] = made;
    const call = () =>
      fetch(`${fake.baseUrl}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'gpt-4o' }),
      });
    for (let at = 0; at < 150; at += 1) await call();
    async function pagesOf(): Promise<number> {
      const before = fake.requests.length;
      await nextMillisecond();
      await mirror.pullSpend({ settleMs: 0 });
      return fake.requests.slice(before).filter((request) => request === 'GET /spend/logs/v2').length;
    }
    assert.equal(await pagesOf(), 2);
    assert.equal((await keys.usage({ keyId: key.id })).totals.requests, 150);
    await pagesOf();
    assert.equal(await pagesOf(), 0);
    // Stores remember ids for a day: what one pull has counted, the next one must not even offer.
    let offered = 0;
    const record = store.record.bind(store);
    store.record = (event, plan) => {
      offered += 1;
      return record(event, plan);
    };
    await call();
    assert.equal(await pagesOf(), 2);
    assert.equal(offered, 1);
    await mirror.stop();
    await keys.close();
    await fake.close();
  });
});
