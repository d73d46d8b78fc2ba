import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { createEchoModel } from '../../../../lib/testing/echo-model/echo-model.ts';
import { collect } from '../../../support/collect.ts';
import { type Listening, listen } from '../../../support/listen.ts';

describe('createEchoModel, asked by the OpenAI client', () => {
  let server: Listening;
  let client: OpenAI;
  before(async () => {
    server = await listen(createEchoModel());
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  after(() => server.close());

  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'First question' },
    { role: 'assistant', content: 'First answer' },
    { role: 'user', content: 'How are you today' },
  ] as const;

  it('repeats the last message of the user, and tells its usage', async () => {
    const completion = await client.chat.completions.create({ model: 'gpt-4o', messages: [...messages] });
    assert.equal(completion.model, 'gpt-4o');
    assert.deepEqual(
      completion.choices.map(({ message, finish_reason }) => [message.content, finish_reason]),
      [['How are you today', 'stop']],
    );
    assert.deepEqual(completion.usage, { prompt_tokens: 10, completion_tokens: 4, total_tokens: 14 });
  });

  it('repeats it n times, cut where the cap is', async () => {
    const completion = await client.chat.completions.create({
      model: 'gpt-4o',
      messages: [...messages],
      n: 2,
      max_completion_tokens: 3,
    });
    assert.deepEqual(
      completion.choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
      [
        [0, 'How are you', 'length'],
        [1, 'How are you', 'length'],
      ],
    );
    assert.equal(completion.usage?.completion_tokens, 6);
  });

  it('streams a word a chunk, and no usage unless asked for it', async () => {
    const stream = await client.chat.completions.create({ model: 'gpt-4o', messages: [...messages], stream: true });
    const chunks = await collect(stream);
    assert.deepEqual(
      chunks.map(({ choices }) => choices[0]?.delta.content ?? choices[0]?.finish_reason),
      ['', 'How', ' are', ' you', ' today', 'stop'],
    );
    assert.deepEqual(
      chunks.filter((chunk) => 'usage' in chunk),
      [],
    );
  });

  it('ends a stream with a chunk of its own for the usage, when asked for it', async () => {
    const stream = await client.chat.completions.create({
      model: 'gpt-4o',
      messages: [...messages],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    assert.deepEqual(
      chunks.map(({ usage }) => usage),
      [...Array(6).fill(null), { prompt_tokens: 10, completion_tokens: 4, total_tokens: 14 }],
    );
    assert.deepEqual(chunks.at(-1)?.choices, []);
  });

  it('answers each prompt of legacy completions', async () => {
    const completion = await client.completions.create({ model: 'babbage-002', prompt: ['one two', 'three'] });
    assert.deepEqual(
      completion.choices.map(({ text }) => text),
      ['one two', 'three'],
    );
    assert.deepEqual(completion.usage, { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 });
  });

  it('streams legacy completions', async () => {
    const chunks = await collect(
      await client.completions.create({ model: 'babbage-002', prompt: 'one two', stream: true }),
    );
    assert.deepEqual(
      chunks.map(({ choices }) => [choices[0]?.text, choices[0]?.finish_reason]),
      [
        ['one', null],
        [' two', null],
        ['', 'stop'],
      ],
    );
  });

  it('answers responses', async () => {
    const response = await client.responses.create({
      model: 'gpt-4o',
      instructions: 'Be brief.',
      input: 'Hello there',
    });
    assert.deepEqual([response.output_text, response.status], ['Hello there', 'completed']);
    assert.deepEqual(
      [response.usage?.input_tokens, response.usage?.output_tokens, response.usage?.total_tokens],
      [4, 2, 6],
    );
  });

  it('streams responses in the order of their events, the usage last', async () => {
    const stream = await client.responses.create({ model: 'gpt-4o', input: 'Hello there', stream: true });
    const events = await collect(stream);
    assert.deepEqual(
      events.map(({ type }) => type),
      [
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.delta',
        'response.output_text.delta',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.completed',
      ],
    );
    const last = events.at(-1);
    assert.equal(last?.type === 'response.completed' && last.response.usage?.output_tokens, 2);
  });

  it('says that a response is incomplete when it is cut', async () => {
    const response = await client.responses.create({ model: 'gpt-4o', input: 'Hello there', max_output_tokens: 1 });
    assert.deepEqual(
      [response.output_text, response.status, response.incomplete_details],
      ['Hello', 'incomplete', { reason: 'max_output_tokens' }],
    );
  });

  it('embeds in the encoding that the client asks for by itself, to the same numbers as plainly', async () => {
    const input = { model: 'text-embedding-3-small', input: ['one two', 'three'] };
    const encoded = await client.embeddings.create(input);
    const plain = await client.embeddings.create({ ...input, encoding_format: 'float' });
    assert.deepEqual(
      encoded.data.map(({ embedding }) => [...embedding]),
      plain.data.map(({ embedding }) => embedding),
    );
    assert.equal(plain.data[0]?.embedding.length, 8);
    assert.ok(Math.abs(Math.hypot(...(plain.data[0]?.embedding ?? [])) - 1) < 1e-6);
    assert.notDeepEqual(plain.data[0]?.embedding, plain.data[1]?.embedding);
    assert.deepEqual(encoded.usage, { prompt_tokens: 3, total_tokens: 3 });
  });

  it('embeds in as many dimensions as asked for', async () => {
    const { data } = await client.embeddings.create({ model: 'e', input: 'one', dimensions: 256 });
    assert.equal(data[0]?.embedding.length, 256);
  });

  it('moderates, draws and transcribes', async () => {
    const moderation = await client.moderations.create({ model: 'omni-moderation-latest', input: ['a', 'b'] });
    assert.deepEqual(
      moderation.results.map(({ flagged }) => flagged),
      [false, false],
    );
    const images = await client.images.generate({ model: 'gpt-image-1', prompt: 'A quiet lake', n: 2 });
    assert.deepEqual([images.data?.length, images.usage?.input_tokens, images.usage?.output_tokens], [2, 3, 2]);
    const transcript = await client.audio.transcriptions.create({
      model: 'gpt-4o-transcribe',
      file: new File(['RIFF'], 'speech.wav'),
    });
    assert.equal(transcript.text, 'echo');
  });

  it('lists the models that it was given', async () => {
    const models = await collect(client.models.list());
    assert.deepEqual(
      models.map(({ id }) => id),
      ['echo'],
    );
    assert.equal((await client.models.retrieve('any/model')).id, 'any/model');
  });

  it('raises the errors of the client for unknown routes and missing models', async () => {
    await assert.rejects(client.get('/files'), { status: 404, code: 'unknown_url', type: 'invalid_request_error' });
    await assert.rejects(client.post('/chat/completions', { body: {} }), {
      status: 400,
      type: 'invalid_request_error',
    });
  });
});
