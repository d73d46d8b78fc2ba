import assert from 'node:assert/strict';
import { ApiError, GoogleGenAI } from '@google/genai';
import { mintSecret } from '../../lib/keys/secret.ts';
import { collect } from '../support/collect.ts';
import { eventually } from '../support/eventually.ts';
import { type GuardedEcho, type GuardedEchoOptions, guardedEcho, rejection } from '../support/guarded-echo.ts';
import { charge } from '../support/usage-events.ts';

const question = { model: 'gemini-2.5-flash', contents: 'one two three' };
const echoed = { model: 'gemini-2.5-flash', inputTokens: 3, outputTokens: 3, costUsd: 0.000_009, source: 'reported' };

describe('The client of Gemini', () => {
  let setup: GuardedEcho;
  afterEach(() => setup.close());

  async function connect(options?: GuardedEchoOptions, apiKey?: string) {
    setup = await guardedEcho(options);
    return new GoogleGenAI({ apiKey: apiKey ?? setup.secret, httpOptions: { baseUrl: setup.url } });
  }
  const charged = async (count = 1) => (await setup.usage.until(count)).map(charge);

  it('gets an answer, and is charged for it', async () => {
    const client = await connect();
    const { text, usageMetadata } = await client.models.generateContent(question);
    assert.equal(text, 'one two three');
    assert.equal(usageMetadata?.totalTokenCount, 6);
    assert.deepEqual(await charged(), [echoed]);
    assert.equal(await setup.spend(), 0.000_009);
  });

  it('gets a stream, split anywhere, and is charged for it', async () => {
    const client = await connect({ echo: { behaviour: { chunkBytes: 1 } } });
    const chunks = await collect(await client.models.generateContentStream(question));
    assert.equal(chunks.map(({ text }) => text).join(''), 'one two three');
    assert.deepEqual(await charged(), [echoed]);
  });

  it('gets embeddings, whose usage nobody tells, by their estimate', async () => {
    const client = await connect();
    const { embeddings } = await client.models.embedContent({
      model: 'gemini-embedding-001',
      contents: 'one two three',
    });
    assert.ok((embeddings?.[0]?.values?.length ?? 0) > 1);
    const [event] = await charged();
    assert.deepEqual([event?.model, event?.outputTokens, event?.source], ['gemini-embedding-001', 0, 'estimated']);
  });

  it('counts tokens, which costs nothing', async () => {
    const client = await connect();
    assert.equal((await client.models.countTokens(question)).totalTokens, 3);
    assert.equal(await setup.spend(), 0);
  });

  it('lists the models that its key may use', async () => {
    const client = await connect({ key: { models: ['gemini-2.5-flash'] } });
    const models = await collect(await client.models.list());
    assert.deepEqual(
      models.map(({ name }) => name),
      ['models/gemini-2.5-flash'],
    );
  });

  describe('is refused', () => {
    const cases: readonly [
      title: string,
      options: GuardedEchoOptions,
      status: number,
      state: string,
      reason: string,
    ][] = [
      ['a model', { key: { models: ['other'] } }, 403, 'PERMISSION_DENIED', 'MODEL_NOT_ALLOWED'],
      ['by its budget', { key: { maxBudget: 0 } }, 429, 'RESOURCE_EXHAUSTED', 'BUDGET_EXHAUSTED'],
      [
        'by its budget with 402',
        { key: { maxBudget: 0 }, guard: { budgetStatus: 402 } },
        402,
        'RESOURCE_EXHAUSTED',
        'BUDGET_EXHAUSTED',
      ],
      ['by a limit of a minute', { key: { rpmLimit: 0 } }, 429, 'RESOURCE_EXHAUSTED', 'RATE_LIMIT_EXCEEDED'],
    ];
    for (const [title, options, status, state, reason] of cases) {
      it(`${title}, whole or as a stream, after one call each`, async () => {
        const client = await connect(options);
        for (const ask of [
          () => client.models.generateContent(question),
          () => client.models.generateContentStream(question),
        ]) {
          const error = await rejection(ask());
          assert.ok(error instanceof ApiError);
          const { error: told } = JSON.parse(error.message);
          assert.deepEqual(
            [error.status, told.code, told.status, told.details[0].reason],
            [status, status, state, reason],
          );
        }
        assert.equal(setup.requests(), 2);
        assert.deepEqual(setup.echo.requests, []);
      });
    }

    it('with an unknown key', async () => {
      const client = await connect({}, mintSecret('sk-llm'));
      const error = await rejection(client.models.generateContent(question));
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, JSON.parse(error.message).error.details[0].reason], [401, 'API_KEY_INVALID']);
    });
  });

  it('that leaves a stream is charged for what was seen', async () => {
    const client = await connect({ echo: { behaviour: { fault: 'stall', faultAfter: 2 } } });
    const controller = new AbortController();
    const stream = await client.models.generateContentStream({
      ...question,
      config: { abortSignal: controller.signal },
    });
    await stream.next();
    controller.abort();
    const [event] = await charged();
    assert.deepEqual([event?.source, event?.inputTokens, (event?.outputTokens ?? 0) >= 1], ['partial', 3, true]);
    await eventually(() => setup.signals[0]?.aborted === true);
    await setup.spend();
  });
});
