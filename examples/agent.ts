// An agent that calls its model until it needs no more tools. Each call is held against the limits and charged by itself,
// so that a run which would pass the budget stops in the middle.
import express, { type ErrorRequestHandler } from 'express';
import { createVirtualKeys, getLlm, llmGuard, memoryStore, priceBook } from 'express-llm-keys';
import OpenAI from 'openai';

const model = 'gpt-4o-mini';
const prices = priceBook({ [model]: { inputPerMillion: 0.15, outputPerMillion: 0.6 } });
const keys = createVirtualKeys({ store: memoryStore(), prices });
keys.on('usage.recorded', (event) => console.log('charged', JSON.stringify(event)));
const { secret } = await keys.create({ name: 'Agent', models: [model], rpmLimit: 20, maxBudget: 5 });

const openai = new OpenAI(); // reads OPENAI_API_KEY, and OPENAI_BASE_URL where it is not OpenAI itself
const maxCalls = 8;

const timeTool: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: { name: 'time', description: 'The current time, in UTC', parameters: { type: 'object', properties: {} } },
};

async function run(task: string, fetch: typeof globalThis.fetch): Promise<string> {
  const metered = openai.withOptions({ fetch });
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: task }];
  for (let calls = 0; calls < maxCalls; calls += 1) {
    const { choices } = await metered.chat.completions.create({
      model,
      messages,
      tools: [timeTool],
      max_completion_tokens: 500,
    });
    const message = choices[0]?.message;
    if (!message?.tool_calls?.length) return message?.content ?? '';
    messages.push(message);
    for (const { id } of message.tool_calls) {
      messages.push({ role: 'tool', tool_call_id: id, content: new Date().toISOString() });
    }
  }
  return `No answer after ${maxCalls} calls`;
}

const app = express();
app.post('/agent', llmGuard({ keys, model, endpoint: '/v1/chat/completions' }), async (req, res) => {
  res.json({ answer: await run(String(req.body.task), getLlm(req).fetch) });
});

// What is refused in the middle comes out of the SDK as its own error, after one attempt.
const answerError: ErrorRequestHandler = (error, _req, res, next) => {
  if (error instanceof OpenAI.RateLimitError) res.status(429).json({ error: error.message });
  else next(error);
};
app.use(answerError);

app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`POST /agent {"task": "…"} with Authorization: Bearer ${secret}`);
});
