// An OpenAI-compatible proxy by http-proxy-middleware: clients change their base URL and their key, and nothing else.
import express from 'express';
import { createVirtualKeys, llmGuard, memoryStore, priceBook } from 'express-llm-keys';
import { createProxyMiddleware, fixRequestBody } from 'http-proxy-middleware';

const prices = priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } });
// An answer whose length the client leaves open is cut here, so that no more than this is held for it.
const keys = createVirtualKeys({ store: memoryStore(), prices, defaultOutputCap: 1_000 });
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));
const { secret } = await keys.create({ name: 'Proxy', models: ['gpt-4o*'], rpmLimit: 60, maxBudget: 25 });

const proxy = createProxyMiddleware({
  target: process.env.OPENAI_BASE_URL ?? 'https://api.openai.com/v1',
  changeOrigin: true,
  // The guard has taken the virtual key off the request; this one takes its place.
  headers: { authorization: `Bearer ${process.env.OPENAI_API_KEY}` },
  // The guard has read the body, and may have added to it.
  on: { proxyReq: fixRequestBody },
});

const app = express();
app.use('/v1', llmGuard({ keys }), proxy);

const port = Number(process.env.PORT ?? 3000);
app.listen(port, (error) => {
  if (error) throw error;
  console.log(`OPENAI_BASE_URL=http://localhost:${port}/v1 OPENAI_API_KEY=${secret}`);
});
