import assert from 'node:assert/strict';
import { testGateway } from '../support/gateway.ts';

describe('startGateway, when it stops', () => {
  const words = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');

  async function openStream(url: string, secret: string, behaviour: object): Promise<Response> {
    return fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${secret}`,
        'content-type': 'application/json',
        'x-echo-behaviour': JSON.stringify(behaviour),
      },
      body: JSON.stringify({ model: 'echo', stream: true, messages: [{ role: 'user', content: words }] }),
    });
  }

  it('finishes running answers and takes no more requests', async () => {
    const gateway = await testGateway();
    const { secret } = await gateway.createKey();
    const response = await openStream(gateway.url, secret, { chunkDelayMs: 5 });
    const closed = gateway.close();
    await assert.rejects(fetch(`${gateway.url}/healthz`), TypeError);
    const text = await response.text();
    assert.match(text, /word39/);
    assert.match(text, /data: \[DONE\]\n\n$/);
    await closed;
  });

  it('breaks off what does not end in time', async () => {
    const gateway = await testGateway({}, { graceMs: 50 });
    const { secret } = await gateway.createKey();
    const response = await openStream(gateway.url, secret, { fault: 'stall' });
    await gateway.close();
    await assert.rejects(response.text(), TypeError);
  });

  it('stops once, however often it is told', async () => {
    const gateway = await testGateway();
    await Promise.all([gateway.close(), gateway.close()]);
    await gateway.close();
  });
});
