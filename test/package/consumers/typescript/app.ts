import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import express from 'express';
import {
  createVirtualKeys,
  getLlm,
  keysRouter,
  llmErrorHandler,
  llmGuard,
  memoryStore,
  priceBook,
} from 'express-llm-keys';
import 'express-llm-keys/augment';
import { createEchoModel } from 'express-llm-keys/testing';

const keys = createVirtualKeys({
  store: memoryStore(),
  prices: priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } }),
});
const echo = createEchoModel();

const app = express();
app.use('/v1', llmGuard({ keys }), (req, res) => {
  const model: string | null | undefined = req.llm?.model;
  assert.equal(model, getLlm(req).model);
  echo(req, res);
});
app.use('/api-keys', keysRouter({ keys, authorize: () => ({ actorId: 'ops', role: 'admin' }) }));
app.use(llmErrorHandler());

// @ts-expect-error: there is no such option
assert.throws(() => createVirtualKeys({ store: memoryStore(), price: {} }), TypeError);
// @ts-expect-error: unlimited is null, not a text
void assert.rejects(keys.create({ name: 'Typed', models: ['*'], rpmLimit: 'unlimited' }));

async function main(): Promise<void> {
  const { secret } = await keys.create({ name: 'Consumer', models: ['gpt-4o'], maxBudget: 1 });
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello' }] }),
  });
  server.close();
  server.closeAllConnections();
  const { choices } = (await answer.json()) as { choices: { message: { content: string } }[] };
  assert.deepEqual([answer.status, choices[0]?.message.content], [200, 'Hello']);
  await keys.close();
}

void main();
