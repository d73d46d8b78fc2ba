import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mock } from 'node:test';
import type { LiteLLMError } from '../../lib/errors.ts';
import { createLiteLLMClient } from '../../lib/litellm/index.ts';
import { listen } from '../support/listen.ts';
import { type FakeLiteLLM, fakeLiteLLM } from '../support/litellm/fake-litellm.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('createLiteLLMClient, when LiteLLM fails', () => {
  let proxy: FakeLiteLLM;
  const secret = () => `sk-llm-${randomBytes(20).toString('hex')}`;
  const clientOf = ({ baseUrl, masterKey }: FakeLiteLLM, timeoutMs = 2000) =>
    createLiteLLMClient({ baseUrl, masterKey, timeoutMs });
  const failed = { kind: 'status', status: 500, body: { error: { message: 'Internal', type: 'None' } } } as const;

  beforeEach(async () => {
    proxy = await fakeLiteLLM();
  });
  afterEach(() => proxy.close());

  it('reads again after a failure', async () => {
    proxy.fail('/key/list', failed, failed);
    assert.equal((await clientOf(proxy).keys.list()).total_count, 0);
    assert.equal(proxy.requests.length, 3);
  });

  it('gives up after three tries', async () => {
    proxy.fail('/key/list', failed, failed, failed);
    await assert.rejects(clientOf(proxy).keys.list(), { code: 'litellm_unavailable', status: 503 });
    assert.equal(proxy.requests.length, 3);
  });

  it('asks once where it is refused', async () => {
    proxy.fail('/key/list', { kind: 'status', status: 400 });
    await assert.rejects(clientOf(proxy).keys.list(), { code: 'litellm_refused' });
    assert.equal(proxy.requests.length, 1);
  });

  it('waits as long as LiteLLM asks for', async () => {
    proxy.fail('/key/list', { kind: 'status', status: 429, headers: { 'retry-after': '0' } });
    assert.equal((await clientOf(proxy).keys.list()).total_count, 0);
  });

  it('finds the key whose making was not answered, and makes none twice', async () => {
    const key = secret();
    proxy.fail('/key/generate', { kind: 'lost_reply' });
    const made = await clientOf(proxy).keys.generate({ key, key_alias: 'a', models: ['gpt-4o'] });
    assert.equal(made.token, sha256(key));
    assert.deepEqual(proxy.requests, ['POST /key/generate', 'GET /key/info']);
  });

  it('makes the key when the failed try is known to have made none', async () => {
    const key = secret();
    proxy.fail('/key/generate', failed);
    const made = await clientOf(proxy).keys.generate({ key, key_alias: 'a', models: ['gpt-4o'] });
    assert.equal(made.token, sha256(key));
    const calls = ['POST /key/generate', 'GET /key/info', 'POST /key/generate', 'GET /key/info'];
    assert.deepEqual(proxy.requests, calls);
  });

  it('does not answer later than the timeout of each try', async () => {
    proxy.fail('/key/generate', { kind: 'silence' });
    proxy.fail('/key/info', { kind: 'silence' }, { kind: 'silence' }, { kind: 'silence' });
    await assert.rejects(clientOf(proxy, 30).keys.generate({ key: secret() }), {
      code: 'litellm_unavailable',
      message: 'LiteLLM did not answer within 30 ms',
    });
  });

  it('leaves a server alone that failed five times in a row, and probes it once after 30 seconds', async () => {
    const client = clientOf(proxy);
    proxy.fail('/key/block', ...Array.from({ length: 6 }, () => failed));
    mock.timers.enable({ apis: ['Date'], now: Date.now() });
    try {
      await assert.rejects(client.keys.block('a'.repeat(64)), { code: 'litellm_unavailable' });
      await assert.rejects(client.keys.block('a'.repeat(64)), { code: 'litellm_unavailable' });
      assert.equal(proxy.requests.length, 5);
      await assert.rejects(client.keys.list(), {
        message: 'LiteLLM has failed repeatedly, and is left alone for a while',
      });
      assert.equal(proxy.requests.length, 5);
      mock.timers.tick(30_001);
      await assert.rejects(client.keys.block('a'.repeat(64)), { code: 'litellm_unavailable' });
      assert.equal(proxy.requests.length, 6);
      mock.timers.tick(30_001);
      assert.equal((await client.keys.list()).total_count, 0);
    } finally {
      mock.timers.reset();
    }
  });

  it('tells nothing of the key and of what was sent', async () => {
    const key = secret();
    const told = `Key=${key} hash ${sha256(key)} of ${proxy.masterKey}`;
    proxy.fail('/key/update', { kind: 'status', status: 400, body: { error: { message: told, type: told } } });
    proxy.fail('/key/generate', {
      kind: 'status',
      status: 422,
      body: { detail: [{ type: 'int_type', loc: ['body', 'rpm_limit'], msg: 'wrong', input: key }] },
    });
    for (const act of [
      () => clientOf(proxy).keys.update(sha256(key), { rpm_limit: 1 }),
      () => clientOf(proxy).keys.generate({ key }),
    ]) {
      await assert.rejects(act, (error: LiteLLMError) => {
        const all = `${error.stack}${JSON.stringify(error)}${String(error.cause)}`;
        for (const part of [key, sha256(key), proxy.masterKey]) assert.ok(!all.includes(part), all);
        return true;
      });
    }
  });

  it('tells nothing of a master key of another form either', async () => {
    const masterKey = 'plain+master/key=';
    const client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey });
    proxy.fail('/key/block', {
      kind: 'status',
      status: 400,
      body: { error: { message: `Got ${masterKey}`, type: masterKey } },
    });
    await assert.rejects(client.keys.block('x'), (error: LiteLLMError) => {
      assert.equal(error.message, 'LiteLLM refuses POST /key/block: 400 Got …');
      return !JSON.stringify(error).includes(masterKey);
    });
  });

  it('unwraps what Python printed', async () => {
    proxy.fail('/key/block', { kind: 'status', status: 400, body: { detail: `{'error': 'It\\'s "so"'}` } });
    await assert.rejects(clientOf(proxy).keys.block('x'), {
      message: `LiteLLM refuses POST /key/block: 400 It's "so"`,
    });
  });

  it('says that a server is not LiteLLM by the answer that it gave', async () => {
    const other = await listen((_req, res) => void res.end('<html>'));
    const client = createLiteLLMClient({ baseUrl: other.url, masterKey: 'sk-1' });
    try {
      await assert.rejects(client.health(), {
        code: 'litellm_unexpected',
        status: 502,
        message: "The answer to /health/readiness is not LiteLLM's: body object.base",
      });
    } finally {
      await other.close();
    }
  });

  it('follows no redirect', async () => {
    const other = await listen((_req, res) => void res.writeHead(302, { location: proxy.baseUrl }).end());
    try {
      const client = createLiteLLMClient({ baseUrl: other.url, masterKey: proxy.masterKey });
      await assert.rejects(client.keys.list(), { code: 'litellm_unexpected' });
      assert.deepEqual(proxy.requests, []);
    } finally {
      await other.close();
    }
  });

  it('reads the version of older releases, and their 404', async () => {
    const old = await fakeLiteLLM({ generation: 'old' });
    try {
      const client = clientOf(old);
      assert.deepEqual(await client.health(), { version: '1.82.6', hasDatabase: true, hasLicense: null });
      const key = secret();
      await client.keys.generate({ key, key_alias: 'a', models: ['gpt-4o'] });
      await client.keys.delete([sha256(key)]);
      assert.equal(await client.keys.find(sha256(key)), undefined);
    } finally {
      await old.close();
    }
  });

  it('refuses options that cannot be meant', () => {
    const masterKey = 'sk-1';
    assert.throws(() => createLiteLLMClient({ baseUrl: 'ftp://x', masterKey }), TypeError);
    assert.throws(() => createLiteLLMClient({ baseUrl: 'http://u:p@x', masterKey }), TypeError);
    assert.throws(() => createLiteLLMClient({ baseUrl: 'http://x', masterKey: '' }), TypeError);
    assert.throws(() => createLiteLLMClient({ baseUrl: 'http://x', masterKey, timeoutMs: 0 }), TypeError);
    assert.throws(
      () => createLiteLLMClient({ baseUrl: 'http://x', masterkey: 'a' } as never),
      /did you mean "masterKey"/,
    );
  });
});
