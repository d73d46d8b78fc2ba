// Anthropic's messages, passed through with fetch. Usage is read from what passes by, JSON or stream.
import { pipeline } from 'node:stream/promises';
import express from 'express';
import { createVirtualKeys, getLlm, llmGuard, memoryStore, priceBook } from 'express-llm-keys';

const baseUrl = process.env.ANTHROPIC_BASE_URL ?? 'https://api.anthropic.com';

const prices = priceBook({
  'claude-sonnet-*': { inputPerMillion: 3, outputPerMillion: 15, cacheReadPerMillion: 0.3, cacheWritePerMillion: 3.75 },
});
const keys = createVirtualKeys({ store: memoryStore(), prices });
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));
const { secret } = await keys.create({ name: 'Claude', models: ['claude-sonnet-*'], tpmLimit: 200_000, maxBudget: 25 });

const app = express();
// Answers 402 where the budget is spent and 429 where the rate is, in the words that Anthropic's SDK understands.
app.post(['/v1/messages', '/v1/messages/count_tokens'], llmGuard({ keys }), async (req, res) => {
  const upstream = await fetch(`${baseUrl}${req.path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'anthropic-version': req.get('anthropic-version') ?? '2023-06-01',
      'x-api-key': process.env.ANTHROPIC_API_KEY ?? '',
    },
    body: JSON.stringify(req.body),
    signal: getLlm(req).signal,
  });
  res.status(upstream.status).type(upstream.headers.get('content-type') ?? 'json');
  await pipeline(upstream.body ?? [], res);
});

const port = Number(process.env.PORT ?? 3000);
app.listen(port, (error) => {
  if (error) throw error;
  console.log(`ANTHROPIC_BASE_URL=http://localhost:${port} ANTHROPIC_API_KEY=${secret}`);
});
