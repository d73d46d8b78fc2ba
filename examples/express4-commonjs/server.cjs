// @ts-check
// Express 4 and CommonJS: the four middlewares one by one, and a handler that passes calls on with Node's own fetch.
const { pipeline } = require('node:stream/promises');
const express = require('express');
const {
  createVirtualKeys,
  getLlm,
  llmErrorHandler,
  memoryStore,
  priceBook,
  rateLimit,
  recordUsage,
  requireApiKey,
  requireModelAccess,
} = require('express-llm-keys');

const baseUrl = process.env.OPENAI_BASE_URL ?? 'https://api.openai.com/v1';

const prices = priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } });
const keys = createVirtualKeys({ store: memoryStore(), prices });
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));

/** @type {express.RequestHandler} */
function passOn(req, res, next) {
  ask(req, res).catch(next); // Express 4 does not see a promise that is rejected
}

/** @type {(req: express.Request, res: express.Response) => Promise<void>} */
async function ask(req, res) {
  const upstream = await fetch(`${baseUrl}${req.path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${process.env.OPENAI_API_KEY}` },
    body: JSON.stringify(req.body),
    signal: getLlm(req).signal,
  });
  res.status(upstream.status).type(upstream.headers.get('content-type') ?? 'json');
  await pipeline(upstream.body ?? [], res);
}

const app = express();
app.use(
  '/v1',
  requireApiKey({ keys }),
  express.json({ limit: '20mb' }),
  requireModelAccess(),
  rateLimit(),
  recordUsage(),
  passOn,
);
app.use(llmErrorHandler());

app.listen(Number(process.env.PORT ?? 3000), async () => {
  const { secret } = await keys.create({ name: 'Express 4', models: ['gpt-4o*'], rpmLimit: 60, maxBudget: 25 });
  console.log(`POST /v1/chat/completions with Authorization: Bearer ${secret}`);
});
