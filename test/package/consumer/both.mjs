// Mixes both copies of the package in one process: a service of one under the middlewares of the other.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import express from 'express';
import * as esm from 'express-llm-keys';
import { createEchoModel } from 'express-llm-keys/testing';

const cjs = createRequire(import.meta.url)('express-llm-keys');

const echo = createServer(createEchoModel()).listen(0);
await once(echo, 'listening');
const upstream = `http://127.0.0.1:${echo.address().port}`;
const keys = esm.createVirtualKeys({ store: cjs.memoryStore(), prices: cjs.priceBook({}) });
const { key, secret } = await keys.create({ name: 'Consumer', models: ['gpt-4o'] });
const charged = [];
keys.on('usage.recorded', ({ inputTokens, outputTokens, source }) => charged.push([inputTokens, outputTokens, source]));
const hello = JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello there' }] });
const app = express().use(
  '/v1',
  cjs.requireApiKey({ keys, failWithError: true }),
  express.json(),
  esm.requireModelAccess({ failWithError: true }),
  cjs.rateLimit(),
  esm.recordUsage(),
  async (req, res) => {
    const { state, model } = esm.getLlm(req);
    // In the request that the other copy holds.
    await (await esm.meteredFetch(`${upstream}/v1/chat/completions`, { method: 'POST', body: hello })).text();
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
for (const open of [server, echo]) {
  open.close();
  open.closeAllConnections();
}
const error = await keys.get('none').catch((thrown) => thrown);
await keys.close();
console.log(
  JSON.stringify({
    separate: esm.createVirtualKeys !== cjs.createVirtualKeys,
    status,
    answer,
    forbidden: [forbiddenStatus, forbidden.error.code],
    charged,
    error: [error instanceof cjs.LlmKeysError, error.code],
  }),
);
