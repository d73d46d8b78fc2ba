// A route of your own, answered through the OpenAI SDK: what the SDK sends upstream is held, metered and charged.
import express, { type ErrorRequestHandler } from 'express';
import { createVirtualKeys, getLlm, llmGuard, memoryStore, priceBook } from 'express-llm-keys';
import OpenAI from 'openai';

const model = 'gpt-4o-mini';
const maxAnswer = 500;
const prices = priceBook({ [model]: { inputPerMillion: 0.15, outputPerMillion: 0.6 } });
const keys = createVirtualKeys({ store: memoryStore(), prices });
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));
const { secret } = await keys.create({ name: 'Example', models: [model], maxBudget: 5, budgetDuration: 'daily' });

const openai = new OpenAI(); // reads OPENAI_API_KEY, and OPENAI_BASE_URL where it is not OpenAI itself

const app = express();
// The path and the body are the app's own, so it says what the route stands for, and how long an answer may be.
const guard = llmGuard({
  keys,
  model,
  endpoint: '/v1/chat/completions',
  estimate: () => ({ outputTokens: maxAnswer }),
});
app.post('/ask', guard, async (req, res) => {
  const answer = await openai.withOptions({ fetch: getLlm(req).fetch }).chat.completions.create({
    model,
    stream: true,
    max_completion_tokens: maxAnswer,
    messages: [{ role: 'user', content: String(req.body.question) }],
  });
  res.type('text/plain');
  for await (const { choices } of answer) res.write(choices[0]?.delta.content ?? '');
  res.end();
});

// What is refused within the handler comes out of the SDK as its own error, after one attempt.
const answerError: ErrorRequestHandler = (error, _req, res, next) => {
  if (res.headersSent || !(error instanceof OpenAI.RateLimitError)) return next(error);
  res.status(error.status).json({ error: { code: error.code, message: error.message } });
};
app.use(answerError);

app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`POST /ask {"question": "…"} with Authorization: Bearer ${secret}`);
});
