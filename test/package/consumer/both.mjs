// Mixes both copies of the package in one process: a service of one under the middlewares of the other.
import { once } from 'node:events';
import { createRequire } from 'node:module';
import express from 'express';
import * as esm from 'express-llm-keys';

const cjs = createRequire(import.meta.url)('express-llm-keys');

const keys = esm.createVirtualKeys({ store: cjs.memoryStore(), prices: cjs.priceBook({}) });
const { key, secret } = await keys.create({ name: 'Consumer', models: ['gpt-4o'] });
const app = express().use(
  '/v1',
  cjs.requireApiKey({ keys, failWithError: true }),
  express.json(),
  esm.requireModelAccess({ failWithError: true }),
  cjs.rateLimit(),
  esm.recordUsage(),
  (req, res) => {
    const { state, model } = esm.getLlm(req);
    res.json({ state, model, key: cjs.getLlm(req).key.id === key.id });
  },
);
app.use(cjs.llmErrorHandler());
app.use((error, _req, res, _next) => res.status(599).send(String(error)));
const server = app.listen(0);
await once(server, 'listening');

async function ask(model, bearer = secret) {
  const response = await fetch(`http://127.0.0.1:${server.address().port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [] }),
  });
  return [response.status, await response.json()];
}

const [[status, answer], [forbiddenStatus, forbidden]] = [await ask('gpt-4o'), await ask('gpt-5')];
server.close();
server.closeAllConnections();
const error = await keys.get('none').catch((thrown) => thrown);
await keys.close();
console.log(
  JSON.stringify({
    separate: esm.createVirtualKeys !== cjs.createVirtualKeys,
    status,
    answer,
    forbidden: [forbiddenStatus, forbidden.error.code],
    error: [error instanceof cjs.LlmKeysError, error.code],
  }),
);
