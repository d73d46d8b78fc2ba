// What a web app has around it: security headers, CORS for a browser on another origin, compression.
import compression from 'compression';
import cors from 'cors';
import express from 'express';
import { createVirtualKeys, llmGuard, memoryStore, priceBook } from 'express-llm-keys';
import helmet from 'helmet';
import { createProxyMiddleware, fixRequestBody } from 'http-proxy-middleware';

const prices = priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } });
const keys = createVirtualKeys({ store: memoryStore(), prices });
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));
const { secret } = await keys.create({ name: 'Browser', models: ['gpt-4o*'], rpmLimit: 60, maxBudget: 25 });

const app = express();
app.use(helmet());
// Before the guard, so that its refusals can be read in the browser, too. It exposes the rate-limit headers by itself.
app.use(cors({ origin: process.env.WEB_ORIGIN ?? 'http://localhost:5173' }));
// Events would be held back until they are worth compressing.
const isStream = (res: express.Response) => String(res.getHeader('content-type')).startsWith('text/event-stream');
app.use(compression({ filter: (req, res) => !isStream(res) && compression.filter(req, res) }));
app.use(
  '/v1',
  llmGuard({ keys }),
  createProxyMiddleware({
    target: process.env.OPENAI_BASE_URL ?? 'https://api.openai.com/v1',
    changeOrigin: true,
    headers: { authorization: `Bearer ${process.env.OPENAI_API_KEY}` },
    on: { proxyReq: fixRequestBody },
  }),
);

app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`POST /v1/chat/completions with Authorization: Bearer ${secret}`);
});
