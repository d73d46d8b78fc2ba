// An app in front of a LiteLLM proxy. Its keys are good on both: here with every limit, there with what LiteLLM can hold.
import { randomUUID } from 'node:crypto';
import express from 'express';
import { createVirtualKeys, keysRouter, llmGuard, priceBook } from 'express-llm-keys';
import { createLiteLLMClient, mirrorToLiteLLM } from 'express-llm-keys/litellm';
import { redisStore } from 'express-llm-keys/redis';
import { createProxyMiddleware, fixRequestBody } from 'http-proxy-middleware';
import { Redis } from 'ioredis';

const baseUrl = process.env.LITELLM_BASE_URL ?? 'http://127.0.0.1:4000';
const masterKey = process.env.LITELLM_MASTER_KEY ?? '';

// Keys and their twins have to be remembered for as long as LiteLLM does.
const client = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379', {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 1,
  commandTimeout: 1000,
});
client.on('error', (error) => console.error(`Redis: ${error.message}`));
await new Promise((resolve) => client.once('ready', resolve));

const store = redisStore({ client, prefix: process.env.REDIS_PREFIX ?? 'llm-keys:' });
const prices = priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } });
const keys = createVirtualKeys({ store, prices, defaultOutputCap: 1_000 });
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));
keys.on('sync.changed', ({ keyId, sync }) => console.log('sync', keyId, sync.state, sync.error ?? ''));

const mirror = mirrorToLiteLLM({
  keys,
  client: createLiteLLMClient({ baseUrl, masterKey }),
  deploymentId: process.env.LITELLM_DEPLOYMENT_ID ?? 'example',
});
// Says in one sentence if the URL, the master key, the database or the version is not what it has to be.
await mirror.start();

const adminToken = process.env.ADMIN_TOKEN || randomUUID();
const authorized = `Bearer ${adminToken}`;
const app = express();
app.use(
  '/api-keys',
  keysRouter({
    keys,
    authorize: (req) => (req.get('authorization') === authorized ? { actorId: 'ops', role: 'admin' } : undefined),
  }),
);
app.use(
  '/v1',
  llmGuard({ keys }),
  createProxyMiddleware({
    target: `${baseUrl}/v1`,
    changeOrigin: true,
    // The app's own key at LiteLLM: what passes here is counted here, and not on the twin of the caller's key.
    headers: { authorization: `Bearer ${process.env.LITELLM_API_KEY ?? masterKey}` },
    on: { proxyReq: fixRequestBody },
  }),
);

const server = app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`The admin token of /api-keys: ${adminToken}`);
});

process.once('SIGTERM', () => {
  server.close(async () => {
    await mirror.stop();
    await keys.close();
    await store.close();
    await client.quit();
  });
});
