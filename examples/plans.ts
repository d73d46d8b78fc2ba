// Plans that customers subscribe to. A plan is a policy over the customer's team: it holds for all its keys together,
// however many they make, and a change of plan is in force for the next request.
import { randomUUID } from 'node:crypto';
import express, { type RequestHandler } from 'express';
import {
  createVirtualKeys,
  keysRouter,
  llmErrorHandler,
  llmGuard,
  memoryStore,
  type PolicyInput,
  priceBook,
} from 'express-llm-keys';
import { createProxyMiddleware, fixRequestBody } from 'http-proxy-middleware';

const plans = new Map<unknown, PolicyInput>([
  ['free', { models: ['gpt-4o-mini'], rpmLimit: 3, rpdLimit: 200, maxBudget: 1, budgetDuration: 'monthly' }],
  ['pro', { models: ['gpt-4o*'], rpmLimit: 600, maxBudget: 100, budgetDuration: 'monthly' }],
]);

const keys = createVirtualKeys({
  store: memoryStore(),
  prices: priceBook({
    'gpt-4o': { inputPerMillion: 2.5, outputPerMillion: 10 },
    'gpt-4o-mini': { inputPerMillion: 0.15, outputPerMillion: 0.6 },
  }),
  // Where a key says nothing of its own, and what it cannot go beyond whatever the plan.
  defaults: { rateLimitPreset: 'standard', expiresInDays: 90 },
  maximums: { maxParallelRequests: 50 },
});
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));

const operatorToken = process.env.ADMIN_TOKEN || randomUUID();
const isOperator = (authorization: string | undefined) => authorization === `Bearer ${operatorToken}`;
const operatorsOnly: RequestHandler = (req, res, next) => {
  if (isOperator(req.get('authorization'))) next();
  else res.sendStatus(401);
};

const app = express();
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
app.put('/customers/:id/plan', operatorsOnly, express.json(), async (req, res) => {
  const plan = plans.get(req.body.plan);
  if (plan === undefined) return void res.sendStatus(422);
  await keys.setPolicy({ team: String(req.params.id) }, plan);
  res.sendStatus(204);
});
app.use(
  '/api-keys',
  keysRouter({
    keys,
    authorize: (req) => (isOperator(req.get('authorization')) ? { actorId: 'operator', role: 'admin' } : undefined),
  }),
);
app.use(llmErrorHandler());

app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(
    `PUT /customers/acme/plan {"plan": "free"} and POST /api-keys with Authorization: Bearer ${operatorToken}`,
  );
});
