const { once } = require('node:events');
const express = require('express');
const { createVirtualKeys, llmGuard, memoryStore } = require('express-llm-keys');
const { createEchoModel, storeCases } = require('express-llm-keys/testing');

test('the guard lets nobody in without a key, and a caller with one', async () => {
  const keys = createVirtualKeys({ store: memoryStore() });
  const { secret } = await keys.create({ name: 'Consumer', models: ['echo'] });
  const server = express().use('/v1', llmGuard({ keys }), createEchoModel()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ask = (headers) =>
    fetch(`http://127.0.0.1:${server.address().port}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: 'Hello' }] }),
    });
  expect((await ask({})).status).toBe(401);
  expect((await ask({ authorization: `Bearer ${secret}` })).status).toBe(200);
  server.close();
  server.closeAllConnections();
  await keys.close();
});

describe('the store suite', () => {
  for (const { name, run } of storeCases) test(name, () => run(() => memoryStore()));
});
