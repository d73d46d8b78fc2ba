import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { createEchoModel } from '../../../../lib/testing/echo-model/echo-model.ts';
import { collect } from '../../../support/collect.ts';
import { type Listening, listen } from '../../../support/listen.ts';

describe('createEchoModel, asked by the Anthropic client', () => {
  let server: Listening;
  let client: Anthropic;
  before(async () => {
    server = await listen(createEchoModel({ models: ['claude-sonnet-4'] }));
    client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
  });
  after(() => server.close());

  const request = {
    model: 'claude-sonnet-4',
    max_tokens: 100,
    system: 'Be brief.',
    messages: [{ role: 'user' as const, content: 'How are you today' }],
  };

  it('repeats the last message of the user, and tells its usage', async () => {
    const message = await client.messages.create(request);
    assert.deepEqual(message.content, [{ type: 'text', text: 'How are you today' }]);
    assert.deepEqual([message.model, message.stop_reason], ['claude-sonnet-4', 'end_turn']);
    assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [6, 4]);
  });

  it('cuts the answer at max_tokens', async () => {
    const message = await client.messages.create({ ...request, max_tokens: 2 });
    assert.deepEqual(message.content, [{ type: 'text', text: 'How are' }]);
    assert.equal(message.stop_reason, 'max_tokens');
  });

  it('streams in the order of Anthropic, and its client puts the same message together', async () => {
    const stream = client.messages.stream(request);
    const types: string[] = [];
    stream.on('streamEvent', ({ type }) => types.push(type));
    const message = await stream.finalMessage();
    assert.deepEqual(types, [
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    assert.deepEqual(
      message.content.map((block) => block.type === 'text' && block.text),
      ['How are you today'],
    );
    assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [6, 4]);
  });

  it('counts tokens as it charges them', async () => {
    const { max_tokens, ...countable } = request;
    assert.equal((await client.messages.countTokens(countable)).input_tokens, 6);
  });

  it('lists the models that it was given', async () => {
    const models = await collect(client.models.list());
    assert.deepEqual(
      models.map(({ id, type }) => [id, type]),
      [['claude-sonnet-4', 'model']],
    );
  });

  it('raises the error of the client when it is told to fail', async () => {
    await assert.rejects(client.messages.create(request, { headers: { 'x-echo-behaviour': '{"status":529}' } }), {
      status: 529,
      type: 'overloaded_error',
    });
  });

  it('tells an error in the middle of a stream so that the client raises it', async () => {
    const stream = await client.messages.create(
      { ...request, stream: true },
      { headers: { 'x-echo-behaviour': '{"fault":"error_frame","faultAfter":4}' } },
    );
    await assert.rejects(collect(stream), { type: 'api_error' });
  });
});
