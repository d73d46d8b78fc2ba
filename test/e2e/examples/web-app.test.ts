import assert from 'node:assert/strict';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { type RunningExample, startExample } from '../../support/example.ts';
import { charge } from '../../support/usage-events.ts';

const origin = 'https://chat.example';

describe('the example of a web app', () => {
  let app: RunningExample;
  const path = '/v1/chat/completions';
  // Long enough to be worth compressing.
  const content = 'rain '.repeat(1_000).trim();
  const question = { model: 'gpt-4o', messages: [{ role: 'user', content }] };

  before(async () => {
    app = await startExample('web-app.ts', createEchoModel(), { WEB_ORIGIN: origin });
  });
  after(() => app.stop());

  it('compresses an answer after its usage was read', async () => {
    const answer = await app.post(path, question, { origin });
    assert.equal(answer.headers.get('content-encoding'), 'gzip');
    assert.equal(answer.headers.get('access-control-allow-origin'), origin);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.match(answer.headers.get('access-control-expose-headers') ?? '', /x-ratelimit-remaining-requests/i);
    const { choices } = (await answer.json()) as { choices: { message: { content: string } }[] };
    assert.equal(choices[0]?.message.content, content);
  });

  it('passes events on as they come, uncompressed', async () => {
    const stall = { 'x-echo-behaviour': '{"fault":"stall","faultAfter":3}' };
    const answer = await app.post(path, { ...question, stream: true }, { origin, ...stall });
    assert.equal(answer.headers.get('content-encoding'), null);
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    let seen = '';
    // The upstream says two words and then nothing more: they arrive all the same.
    while (!seen.includes('" rain"')) seen += (await reader?.read())?.value ?? assert.fail('The stream has ended');
    await reader?.cancel();
  });

  it('charges both, the stream that was left by what was seen of it', async () => {
    const [whole, left] = (await app.charges(2)).map(charge);
    assert.deepEqual(whole, {
      model: 'gpt-4o',
      inputTokens: 1_000,
      outputTokens: 1_000,
      costUsd: 0.0125,
      source: 'reported',
    });
    assert.equal(left?.source, 'partial');
  });

  it('lets the browser ask beforehand without a key, and read why it was refused', async () => {
    const preflight = await fetch(`${app.url}${path}`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
    assert.equal(preflight.status, 204);
    const refused = await app.post(path, question, { origin, authorization: 'Bearer nobody' });
    assert.equal(refused.status, 401);
    assert.equal(refused.headers.get('access-control-allow-origin'), origin);
  });
});
