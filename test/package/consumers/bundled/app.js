// Answers one request and refuses one, when all it needs is in one file.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import express from 'express';
import { createVirtualKeys, KeyNotFoundError, LlmKeysError, llmGuard, memoryStore } from 'express-llm-keys';
import { createEchoModel } from 'express-llm-keys/testing';

async function main() {
  const keys = createVirtualKeys({ store: memoryStore() });
  const { secret } = await keys.create({ name: 'Consumer', models: ['echo'] });
  const server = express().use('/v1', llmGuard({ keys }), createEchoModel()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ask = (model) =>
    fetch(`http://127.0.0.1:${server.address().port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }),
    });
  assert.equal((await ask('echo')).status, 200);
  assert.equal((await ask('gpt-4o')).status, 403);
  server.close();
  server.closeAllConnections();
  await assert.rejects(keys.get('none'), (error) => error instanceof KeyNotFoundError && error instanceof LlmKeysError);
  await keys.close();
}

void main();
