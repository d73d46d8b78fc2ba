import assert from 'node:assert/strict';
import { StartError } from '../../../lib/gateway/environment.ts';
import { startGateway } from '../../../lib/gateway/start-gateway.ts';
import { createLiteLLMClient } from '../../../lib/litellm/index.ts';
import { type FakeLiteLLM, fakeLiteLLM } from '../../support/litellm/fake-litellm.ts';

describe('startGateway with LiteLLM', function () {
  this.timeout(30_000);
  let proxy: FakeLiteLLM;
  before(async () => {
    proxy = await fakeLiteLLM();
  });
  after(() => proxy.close());

  async function start(env: { readonly [variable: string]: string } = {}) {
    let text = '';
    const gateway = await startGateway(
      { PORT: '0', LITELLM_BASE_URL: proxy.baseUrl, LITELLM_MASTER_KEY: proxy.masterKey, ...env },
      {
        write: (more) => {
          text += more;
        },
      },
    );
    const call = async (path: string, body?: object) => {
      const response = await fetch(`${gateway.url}/api-keys${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${gateway.adminToken}`, 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      });
      return response.json();
    };
    return { gateway, call, text: () => text };
  }

  it('mirrors keys, and says that their twins outlive a store in memory', async () => {
    const { gateway, call, text } = await start();
    try {
      assert.match(text(), /Keys are mirrored to LiteLLM at .*\nTheir twins there outlive this process/);
      const { key } = (await call('', { name: 'Both', models: ['gpt-4o'] })) as {
        key: { alias: string; sync: object };
      };
      const client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey });
      assert.deepEqual(await client.keys.aliases({ search: key.alias }), [key.alias]);
    } finally {
      await gateway.close();
    }
  });

  it('starts while LiteLLM is down, and mirrors when it is back', async () => {
    const down = { kind: 'status', status: 503 } as const;
    proxy.fail('/health/readiness', down, down, down);
    const { gateway, call, text } = await start();
    try {
      assert.match(text(), /^warning: LiteLLM fails .*; keys reach it when it is there\n/);
      const asked = () => proxy.requests.filter((request) => request === 'GET /key/list').length;
      const before = asked();
      while (asked() === before) await new Promise((resolve) => setTimeout(resolve, 100));
      const { key } = (await call('', { name: 'Later', models: ['gpt-4o'] })) as { key: { sync: { state: string } } };
      assert.equal(key.sync.state, 'synced');
    } finally {
      await gateway.close();
    }
  });

  it('does not start with a wrong master key', async () => {
    await assert.rejects(start({ LITELLM_MASTER_KEY: 'sk-wrong' }), (error) => {
      assert.ok(error instanceof StartError);
      assert.match(error.message, /^LITELLM_BASE_URL: /);
      assert.ok(!error.message.includes('sk-wrong'));
      return true;
    });
  });
});
