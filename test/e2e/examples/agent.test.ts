import assert from 'node:assert/strict';
import express from 'express';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { type RunningExample, startExample } from '../../support/example.ts';
import { charge } from '../../support/usage-events.ts';

interface ChatBody {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

/** A model that asks for its tool as often as the task says, before it answers as the echo model does. */
function modelWithTools() {
  return express().post(
    '/v1/chat/completions',
    express.json(),
    (req, res, next) => {
      const { messages } = req.body as ChatBody;
      const [task, ...others] = messages;
      const answers = others.filter(({ role }) => role === 'tool');
      if (answers.length >= Number(task?.content)) return next();
      const call = { id: `call_${answers.length}`, type: 'function', function: { name: 'time', arguments: '{}' } };
      res.json({
        object: 'chat.completion',
        choices: [
          { index: 0, message: { role: 'assistant', content: null, tool_calls: [call] }, finish_reason: 'tool_calls' },
        ],
        usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 },
      });
    },
    createEchoModel({ behaviour: { reply: 'Done' } }),
  );
}

describe('the example of an agent', () => {
  let app: RunningExample;

  before(async () => {
    app = await startExample('agent.ts', modelWithTools());
  });
  after(() => app.stop());

  it('charges each call of a run by itself', async () => {
    const answer = await app.post('/agent', { task: '2' });
    assert.deepEqual(await answer.json(), { answer: 'Done' });
    const calls = (await app.charges(3)).map(charge);
    const asking = { model: 'gpt-4o-mini', inputTokens: 100, outputTokens: 10, costUsd: 0.000021, source: 'reported' };
    assert.deepEqual(calls.slice(0, 2), [asking, asking]);
    assert.equal(calls.length, 3);
    assert.equal(calls[2]?.outputTokens, 1);
  });

  it('ends a run that does not come to an end', async () => {
    const answer = await app.post('/agent', { task: '100' });
    assert.deepEqual(await answer.json(), { answer: 'No answer after 8 calls' });
  });

  it('stops a run in the middle when the limit of the key is reached', async () => {
    // 3 and 8 calls have been made, of 20 in a minute.
    const last = await app.post('/agent', { task: '100' });
    assert.deepEqual(await last.json(), { answer: 'No answer after 8 calls' });
    const refused = await app.post('/agent', { task: '100' });
    assert.equal(refused.status, 429);
    const { error } = (await refused.json()) as { error: string };
    assert.match(error, /20 requests/);
    assert.equal((await app.charges(20)).length, 20);
  });
});
