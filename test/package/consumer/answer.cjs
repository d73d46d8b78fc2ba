// The same as answer.mjs, made of the CommonJS modules.
const { once } = require('node:events');
const express = require('express');
const {
  createVirtualKeys,
  KeyNotFoundError,
  LlmKeysError,
  llmGuard,
  memoryStore,
  priceBook,
} = require('express-llm-keys');
const { createEchoModel, storeCases } = require('express-llm-keys/testing');

async function main() {
  const prices = priceBook({ echo: { inputPerMillion: 1, outputPerMillion: 2 } });
  const keys = createVirtualKeys({ store: memoryStore(), prices });
  const { secret } = await keys.create({ name: 'Consumer', models: ['echo'] });
  const server = express().use('/v1', llmGuard({ keys }), createEchoModel()).listen(0);
  await once(server, 'listening');
  const response = await fetch(`http://127.0.0.1:${server.address().port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: 'Hello' }] }),
  });
  const { choices } = await response.json();
  server.close();
  server.closeAllConnections();
  const error = await keys.get('none').catch((thrown) => thrown);
  await keys.close();
  console.log(
    JSON.stringify({
      status: response.status,
      content: choices[0].message.content,
      errors: [error instanceof KeyNotFoundError, error instanceof LlmKeysError, error.code],
      storeCases: storeCases.length > 0,
    }),
  );
}

main().catch((error) => {
  process.exitCode = 1;
  console.error(error);
});
