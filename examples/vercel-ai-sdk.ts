// A chat route for `useChat` of the Vercel AI SDK. Its stream has a shape of its own; usage is read where it calls OpenAI.
import { createOpenAI } from '@ai-sdk/openai';
import { streamText } from 'ai';
import express from 'express';
import { createVirtualKeys, getLlm, llmGuard, memoryStore, priceBook } from 'express-llm-keys';

const model = 'gpt-4o-mini';
const prices = priceBook({ [model]: { inputPerMillion: 0.15, outputPerMillion: 0.6 } });
const keys = createVirtualKeys({ store: memoryStore(), prices });
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));
const { secret } = await keys.create({ name: 'Example', models: [model], maxBudget: 5, budgetDuration: 'daily' });

const app = express();
app.post('/ask', llmGuard({ keys, model, endpoint: '/v1/responses', budgetStatus: 402 }), async (req, res) => {
  const { fetch, signal } = getLlm(req);
  const openai = createOpenAI({ fetch }); // reads OPENAI_API_KEY, and OPENAI_BASE_URL where it is not OpenAI itself
  const answer = streamText({
    model: openai(model),
    prompt: String(req.body.question),
    maxOutputTokens: 500,
    maxRetries: 0, // it would repeat what was refused; that is for the client to decide
    abortSignal: signal,
  });
  await answer.pipeUIMessageStreamToResponse(res);
});

app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`POST /ask {"question": "…"} with Authorization: Bearer ${secret}`);
});
