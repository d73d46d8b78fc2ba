// Several processes that share keys, limits and budgets in Redis: start this as often as you like.
import express from 'express';
import { createVirtualKeys, llmGuard, priceBook } from 'express-llm-keys';
import { redisStore } from 'express-llm-keys/redis';
import { createEchoModel } from 'express-llm-keys/testing';
import { Redis } from 'ioredis';

const client = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379', {
  // A caller waits for its answer: a call fails at once while there is no connection, and never waits for its return.
  enableOfflineQueue: false,
  // One repetition is harmless, since every act has an id; the next one belongs to whoever called.
  maxRetriesPerRequest: 1,
  // Without it a connection that is open and silent keeps every call.
  commandTimeout: 1000,
});
client.on('error', (error) => console.error(`Redis: ${error.message}`));
await new Promise((resolve) => client.once('ready', resolve));

const store = redisStore({ client, prefix: process.env.REDIS_PREFIX ?? 'llm-keys:' });
const keys = createVirtualKeys({
  store,
  prices: priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } }),
});
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));

const { secret } = await keys.create({ name: 'Production', models: ['gpt-4o*'], rpmLimit: 60 });

const app = express();
app.use('/v1', llmGuard({ keys }), createEchoModel());
const server = app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`The secret is shown this once, and good in every process: ${secret}`);
});

process.once('SIGTERM', () => {
  server.close(async () => {
    await keys.close();
    await store.close();
    await client.quit();
  });
});
