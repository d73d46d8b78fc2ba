import assert from 'node:assert/strict';
import OpenAI, {
  APIUserAbortError,
  AuthenticationError,
  AzureOpenAI,
  PermissionDeniedError,
  RateLimitError,
} from 'openai';
import { mintSecret } from '../../lib/keys/secret.ts';
import { collect } from '../support/collect.ts';
import { eventually } from '../support/eventually.ts';
import { type GuardedEcho, type GuardedEchoOptions, guardedEcho, rejection } from '../support/guarded-echo.ts';
import { charge } from '../support/usage-events.ts';

const messages = [{ role: 'user' as const, content: 'one two three' }];
const echoed = { model: 'gpt-4o', inputTokens: 3, outputTokens: 3, costUsd: 0.000_009, source: 'reported' };

describe('The client of OpenAI', () => {
  let setup: GuardedEcho;
  afterEach(() => setup.close());

  async function connect(options?: GuardedEchoOptions, maxRetries?: number) {
    setup = await guardedEcho(options);
    return new OpenAI({
      apiKey: setup.secret,
      baseURL: `${setup.url}/v1`,
      ...(maxRetries !== undefined && { maxRetries }),
    });
  }
  const charged = async (count = 1) => (await setup.usage.until(count)).map(charge);

  it('gets a chat, and is charged for it', async () => {
    const client = await connect();
    const { choices, usage, _request_id } = await client.chat.completions.create({ model: 'gpt-4o', messages });
    assert.equal(choices[0]?.message.content, 'one two three');
    assert.deepEqual(usage, { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 });
    assert.match(_request_id ?? '', /^req_/);
    assert.deepEqual(await charged(), [echoed]);
    assert.equal(await setup.spend(), 0.000_009);
  });

  it('gets a stream without the usage that it has not asked for, and is charged for it', async () => {
    const client = await connect();
    const chunks = await collect(await client.chat.completions.create({ model: 'gpt-4o', messages, stream: true }));
    assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), 'one two three');
    assert.deepEqual(
      chunks.filter(({ usage }) => usage),
      [],
    );
    assert.ok(chunks.every(({ choices }) => choices.length === 1));
    assert.deepEqual(await charged(), [echoed]);
  });

  it('gets the usage of a stream that it has asked for', async () => {
    const client = await connect({ echo: { behaviour: { chunkBytes: 1 } } });
    const stream_options = { include_usage: true };
    const asked = { model: 'gpt-4o', messages, stream: true as const, stream_options };
    const chunks = await collect(await client.chat.completions.create(asked));
    assert.deepEqual(chunks.at(-1)?.usage, { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 });
    assert.deepEqual(await charged(), [echoed]);
  });

  it('gets responses, whole and streamed', async () => {
    const client = await connect();
    const whole = await client.responses.create({ model: 'gpt-4o', input: 'one two three' });
    assert.equal(whole.output_text, 'one two three');
    const events = await collect(
      await client.responses.create({ model: 'gpt-4o', input: 'one two three', stream: true }),
    );
    assert.equal(events.at(-1)?.type, 'response.completed');
    assert.deepEqual(await charged(2), [echoed, echoed]);
  });

  it('gets embeddings, which have no output', async () => {
    const client = await connect();
    const { data } = await client.embeddings.create({ model: 'text-embedding-3-small', input: ['one two', 'three'] });
    assert.equal(data.length, 2);
    assert.ok(data.every(({ embedding }) => embedding.length > 1 && embedding.every(Number.isFinite)));
    assert.deepEqual(await charged(), [
      { model: 'text-embedding-3-small', inputTokens: 3, outputTokens: 0, costUsd: 0.000_003, source: 'reported' },
    ]);
  });

  it('gets legacy completions', async () => {
    const client = await connect();
    const { choices } = await client.completions.create({ model: 'gpt-4o', prompt: 'one two three' });
    assert.equal(choices[0]?.text, 'one two three');
    assert.deepEqual(await charged(), [echoed]);
  });

  it('lists the models that its key may use', async () => {
    const client = await connect({ key: { models: ['gpt-4o', 'gpt-4o-mini'] } });
    const models = await collect(await client.models.list());
    assert.deepEqual(
      models.map(({ id }) => id),
      ['gpt-4o', 'gpt-4o-mini'],
    );
  });

  it('transcribes a recording where the model is told by an option', async () => {
    const client = await connect({ guard: { model: 'whisper-1' } });
    const file = new File([Buffer.from('RIFF')], 'speech.wav');
    const { text } = await client.audio.transcriptions.create({ model: 'whisper-1', file });
    assert.equal(text, 'echo');
    assert.deepEqual((await charged())[0]?.model, 'whisper-1');
  });

  it('reaches deployments of Azure by its own header', async () => {
    await connect();
    const azure = new AzureOpenAI({
      apiKey: setup.secret,
      endpoint: setup.url,
      apiVersion: '2025-01-01',
      deployment: 'gpt-4o',
    });
    const { choices } = await azure.chat.completions.create({ model: 'gpt-4o', messages });
    assert.equal(choices[0]?.message.content, 'one two three');
    assert.deepEqual(await charged(), [echoed]);
  });

  describe('is refused', () => {
    const cases: readonly [
      title: string,
      options: GuardedEchoOptions,
      ErrorClass: new (...args: never[]) => Error,
      told: object,
    ][] = [
      [
        'a model',
        { key: { models: ['other'] } },
        PermissionDeniedError,
        { status: 403, type: 'invalid_request_error', code: 'model_not_allowed', param: 'model' },
      ],
      [
        'an endpoint',
        { key: { permissions: { allowChatCompletions: false } } },
        PermissionDeniedError,
        { status: 403, type: 'invalid_request_error', code: 'endpoint_not_permitted', param: null },
      ],
      [
        'by its budget',
        { key: { maxBudget: 0, budgetDuration: 'monthly' } },
        RateLimitError,
        { status: 429, type: 'insufficient_quota', code: 'insufficient_quota', param: 'key:monthly_budget' },
      ],
      [
        'by a limit of a day',
        { key: { rpdLimit: 0 } },
        RateLimitError,
        { status: 429, type: 'requests', code: 'rate_limit_exceeded', param: 'key:rpd' },
      ],
      [
        'more than can ever pass',
        { key: { tpmLimit: 5 } },
        OpenAI.APIError,
        { status: 413, type: 'tokens', code: 'request_too_large', param: 'key:tpm' },
      ],
    ];
    for (const [title, options, ErrorClass, told] of cases) {
      it(`${title}, after one call`, async () => {
        const client = await connect(options);
        const error = await rejection(client.chat.completions.create({ model: 'gpt-4o', messages }));
        assert.ok(error instanceof ErrorClass && error instanceof OpenAI.APIError);
        const { status, type, code, param, requestID } = error;
        assert.deepEqual({ status, type, code, param }, told);
        assert.match(requestID ?? '', /^req_/);
        assert.equal(setup.requests(), 1);
        assert.deepEqual(setup.echo.requests, []);
        assert.equal(await setup.spend(), 0);
      });
    }

    it('a stream by an error, before it begins', async () => {
      const client = await connect({ key: { maxBudget: 0 } });
      const error = await rejection(client.chat.completions.create({ model: 'gpt-4o', messages, stream: true }));
      assert.ok(error instanceof RateLimitError);
      assert.deepEqual([error.code, setup.requests()], ['insufficient_quota', 1]);
    });

    for (const [title, apiKey, code] of [
      ['an unknown key', mintSecret('sk-llm'), 'invalid_api_key'],
      ["somebody else's key", 'sk-proj-123', 'invalid_api_key'],
    ] as const) {
      it(`with ${title}, after one call`, async () => {
        await connect();
        const client = new OpenAI({ apiKey, baseURL: `${setup.url}/v1` });
        const error = await rejection(client.models.list());
        assert.ok(error instanceof AuthenticationError);
        assert.deepEqual([error.code, setup.requests()], [code, 1]);
      });
    }

    it('on the next call once its key is revoked', async () => {
      const client = await connect();
      await client.chat.completions.create({ model: 'gpt-4o', messages });
      await setup.keys.revoke(setup.keyId);
      const error = await rejection(client.chat.completions.create({ model: 'gpt-4o', messages }));
      assert.ok(error instanceof AuthenticationError);
      assert.deepEqual([error.code, setup.requests()], ['api_key_revoked', 2]);
    });

    it('by a limit of a minute, and would try again', async () => {
      const client = await connect({ key: { rpmLimit: 1 } }, 0);
      await client.chat.completions.create({ model: 'gpt-4o', messages });
      const error = await rejection(client.chat.completions.create({ model: 'gpt-4o', messages }));
      assert.ok(error instanceof RateLimitError);
      assert.deepEqual(
        [error.code, error.headers.get('retry-after'), error.headers.get('x-should-retry')],
        ['rate_limit_exceeded', '60', null],
      );
    });
  });

  it('that tries again after a short wait is let in', async () => {
    const client = await connect({ key: { maxParallelRequests: 1 } }, 1);
    const hold = await setup.keys.admit({ keyId: setup.keyId, model: 'gpt-4o', tokens: 1 });
    assert.ok(hold.admitted);
    const answer = client.chat.completions.create({ model: 'gpt-4o', messages });
    await eventually(() => setup.requests() === 1);
    await setup.keys.cancel(hold.hold);
    assert.equal((await answer).choices[0]?.message.content, 'one two three');
    assert.equal(setup.requests(), 2);
  });

  it('that leaves a stream is charged for what was seen, and the upstream is told', async () => {
    const client = await connect({ echo: { behaviour: { fault: 'stall', faultAfter: 3 } } });
    const stream = await client.chat.completions.create({ model: 'gpt-4o', messages, stream: true });
    const iterator = stream[Symbol.asyncIterator]();
    const opening = await iterator.next();
    assert.equal(opening.done, false);
    stream.controller.abort();
    const [event] = await charged();
    assert.deepEqual([event?.source, event?.inputTokens, (event?.outputTokens ?? 0) > 0], ['partial', 5, true]);
    assert.equal(setup.signals[0]?.aborted, true);
    await eventually(() => setup.echo.requests[0]?.outcome === 'broken_off');
    assert.ok((await setup.spend()) > 0);
  });

  it('that gives up before an answer frees its slot', async () => {
    const client = await connect(
      {
        key: { maxParallelRequests: 1 },
        echo: { behaviour: (req) => ('x-slow' in req.headers ? { fault: 'stall', faultAfter: 0 } : {}) },
      },
      0,
    );
    const controller = new AbortController();
    const left = client.chat.completions.create(
      { model: 'gpt-4o', messages, stream: true },
      { signal: controller.signal, headers: { 'x-slow': '1' } },
    );
    await eventually(() => setup.echo.requests.length === 1);
    controller.abort();
    assert.ok((await rejection(left)) instanceof APIUserAbortError);
    await setup.spend();
    const { choices } = await client.chat.completions.create({ model: 'gpt-4o', messages });
    assert.equal(choices[0]?.message.content, 'one two three');
  });

  for (const status of [400, 500]) {
    it(`gets the upstream's own error ${status}, and pays nothing`, async () => {
      const client = await connect({ echo: { behaviour: { status } } }, 0);
      const error = await rejection(client.chat.completions.create({ model: 'gpt-4o', messages }));
      assert.ok(error instanceof OpenAI.APIError);
      assert.equal(error.status, status);
      assert.equal(await setup.spend(), 0);
    });
  }
});
