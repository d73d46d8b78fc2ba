import assert from 'node:assert/strict';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { type RunningExample, startExample } from '../../support/example.ts';
import { charge } from '../../support/usage-events.ts';

describe('the example of a handler with the Vercel AI SDK', () => {
  const model = createEchoModel();
  let app: RunningExample;

  before(async () => {
    app = await startExample('vercel-ai-sdk.ts', model);
  });
  after(() => app.stop());

  it('answers in the stream of the SDK, and charges what OpenAI told', async () => {
    const answer = await app.post('/ask', { question: 'is it raining' });
    assert.equal(textOf(await answer.text()), 'is it raining');
    assert.deepEqual((await app.charges(1)).map(charge), [
      { model: 'gpt-4o-mini', inputTokens: 3, outputTokens: 3, costUsd: 0.00000225, source: 'reported' },
    ]);
    assert.deepEqual(
      model.requests.map(({ url, headers }) => [url, headers.authorization]),
      [['/v1/responses', 'Bearer of-the-provider']],
    );
  });
});

/** The text of a UI message stream. */
function textOf(stream: string): string {
  return Array.from(stream.matchAll(/^data: (\{.*\})$/gm), ([, json = '']) => JSON.parse(json) as { delta?: string })
    .map(({ delta = '' }) => delta)
    .join('');
}
