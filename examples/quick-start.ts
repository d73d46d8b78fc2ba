import { randomUUID } from 'node:crypto';
import express from 'express';
import {
  createVirtualKeys,
  keysRouter,
  llmErrorHandler,
  memoryStore,
  priceBook,
  rateLimit,
  recordUsage,
  requireApiKey,
  requireModelAccess,
} from 'express-llm-keys';
import { createEchoModel } from 'express-llm-keys/testing';

const prices = priceBook({
  'gpt-4o': { inputPerMillion: 2.5, outputPerMillion: 10 },
  'gpt-4o-mini': { inputPerMillion: 0.15, outputPerMillion: 0.6 },
});
const keys = createVirtualKeys({ store: memoryStore(), prices });
const { key, secret } = await keys.create({
  name: 'Production',
  models: ['gpt-4o*'],
  rpmLimit: 60,
  maxBudget: 25,
  budgetDuration: 'monthly',
});

// Stands for your own handler: whatever answers in the shape of OpenAI, Anthropic or Gemini is metered.
const yourHandler = createEchoModel();
// A token of its own where none is set, so that nobody is let in by the absence of one.
const adminToken = process.env.ADMIN_TOKEN || randomUUID();

const app = express();
app.use(
  '/v1',
  requireApiKey({ keys }),
  express.json({ limit: '20mb' }),
  requireModelAccess(),
  rateLimit(),
  recordUsage(),
  yourHandler,
);
app.use(
  '/api-keys',
  keysRouter({
    keys,
    authorize: (req) =>
      req.get('authorization') === `Bearer ${adminToken}` ? { actorId: 'ops', role: 'admin' } : undefined,
  }),
);
app.use(llmErrorHandler());

app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`${key.name} may use ${key.models.join(', ')}; its secret is shown this once: ${secret}`);
  console.log(`The admin token of /api-keys: ${adminToken}`);
});
