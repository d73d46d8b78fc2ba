import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { collect } from '../support/collect.ts';
import { eventually } from '../support/eventually.ts';
import { type GuardedEcho, type GuardedEchoOptions, guardedEcho, rejection } from '../support/guarded-echo.ts';
import { charge } from '../support/usage-events.ts';

const question = {
  model: 'claude-sonnet-4',
  max_tokens: 10,
  messages: [{ role: 'user' as const, content: 'one two three' }],
};
const echoed = { model: 'claude-sonnet-4', inputTokens: 3, outputTokens: 3, costUsd: 0.000_009, source: 'reported' };

describe('The client of Anthropic', () => {
  let setup: GuardedEcho;
  afterEach(() => setup.close());

  async function connect(options?: GuardedEchoOptions, maxRetries = 2) {
    setup = await guardedEcho(options);
    return new Anthropic({ apiKey: setup.secret, baseURL: setup.url, maxRetries });
  }
  const charged = async (count = 1) => (await setup.usage.until(count)).map(charge);

  it('gets a message, and is charged for it', async () => {
    const client = await connect();
    const { content, usage, _request_id } = await client.messages.create(question);
    assert.deepEqual(content, [{ type: 'text', text: 'one two three' }]);
    assert.deepEqual([usage.input_tokens, usage.output_tokens], [3, 3]);
    assert.match(_request_id ?? '', /^req_/);
    assert.deepEqual(await charged(), [echoed]);
    assert.equal(await setup.spend(), 0.000_009);
  });

  it('gets a stream, split anywhere, and is charged for it', async () => {
    const client = await connect({ echo: { behaviour: { chunkBytes: 1 } } });
    const message = await client.messages.stream(question).finalMessage();
    assert.deepEqual(message.content, [{ type: 'text', text: 'one two three' }]);
    assert.deepEqual(await charged(), [echoed]);
  });

  it('counts tokens, which costs nothing and counts as a request', async () => {
    const client = await connect({ key: { rpmLimit: 1 } }, 0);
    const { model, messages } = question;
    assert.deepEqual(await client.messages.countTokens({ model, messages }), { input_tokens: 3 });
    assert.equal(await setup.spend(), 0);
    assert.ok((await rejection(client.messages.countTokens({ model, messages }))) instanceof Anthropic.RateLimitError);
  });

  it('lists the models that its key may use', async () => {
    const client = await connect({ key: { models: ['claude-sonnet-4'] } });
    const models = await collect(await client.models.list());
    assert.deepEqual(
      models.map(({ id, type }) => [id, type]),
      [['claude-sonnet-4', 'model']],
    );
  });

  it('may send its key in x-api-key as well', async () => {
    await connect();
    const client = new Anthropic({ apiKey: null, baseURL: setup.url, defaultHeaders: { 'x-api-key': setup.secret } });
    assert.equal((await client.messages.create(question)).role, 'assistant');
  });

  describe('is refused', () => {
    type ErrorClass = new (...args: never[]) => Error;
    const cases: readonly [title: string, options: GuardedEchoOptions, ErrorClass, told: object][] = [
      [
        'a model',
        { key: { models: ['other'] } },
        Anthropic.PermissionDeniedError,
        { status: 403, type: 'permission_error', errorCode: 'model_not_allowed' },
      ],
      [
        'by its budget',
        { key: { maxBudget: 0 } },
        Anthropic.APIError,
        { status: 402, type: 'billing_error', errorCode: 'budget_exhausted' },
      ],
      [
        'by a limit of a day',
        { key: { rpdLimit: 0 } },
        Anthropic.RateLimitError,
        { status: 429, type: 'rate_limit_error', errorCode: 'rate_limit_exceeded' },
      ],
      [
        'more than can ever pass',
        { key: { tpmLimit: 5 } },
        Anthropic.APIError,
        { status: 413, type: 'invalid_request_error', errorCode: 'request_too_large' },
      ],
    ];
    for (const [title, options, ErrorClass, told] of cases) {
      for (const stream of [false, true]) {
        it(`${title}${stream ? ' in a stream' : ''}, after one call`, async () => {
          const client = await connect(options);
          const error = await rejection(client.messages.create({ ...question, stream }));
          assert.ok(error instanceof ErrorClass && error instanceof Anthropic.APIError);
          const { status, type, errorCode, requestID, message } = error;
          assert.deepEqual({ status, type, errorCode }, told);
          assert.match(requestID ?? '', /^req_/);
          assert.match(message, new RegExp(`^${status} [A-Z]`));
          assert.equal(setup.requests(), 1);
          assert.deepEqual(setup.echo.requests, []);
        });
      }
    }

    it('by the class for payments where its budget is used up', async () => {
      const client = await connect({ key: { maxBudget: 0 } });
      assert.equal((await rejection(client.messages.create(question))).constructor.name, 'PaymentRequiredError');
    });

    it('with an unknown key, after one call', async () => {
      await connect();
      const client = new Anthropic({ apiKey: 'sk-ant-api03-x', baseURL: setup.url });
      const error = await rejection(client.messages.create(question));
      assert.ok(error instanceof Anthropic.AuthenticationError);
      assert.deepEqual([error.type, setup.requests()], ['authentication_error', 1]);
    });
  });

  it('that leaves a stream is charged for what was seen', async () => {
    const client = await connect({ echo: { behaviour: { fault: 'stall', faultAfter: 5 } } });
    const stream = await client.messages.create({ ...question, stream: true });
    for await (const event of stream) if (event.type === 'content_block_delta') break;
    const [event] = await charged();
    // The input as the provider has told it, and the one token that it had told with it.
    assert.deepEqual([event?.source, event?.inputTokens, (event?.outputTokens ?? 0) > 0], ['partial', 3, true]);
    await eventually(() => setup.signals[0]?.aborted === true);
    await setup.spend();
  });
});
