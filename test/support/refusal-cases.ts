import type { Express } from 'express';
import request from 'supertest';
import type { LlmGuardOptions } from '../../lib/http/guard.ts';
import type { KeyInput } from '../../lib/keys/key-input.ts';
import { mintSecret } from '../../lib/keys/secret.ts';
import type { DialectRequest } from './dialects.ts';
import type { WaitingHandler } from './handlers.ts';
import type { TestService } from './service.ts';

/** An app to be refused by. */
export interface RefusingApp extends TestService {
  readonly app: Express;
  readonly keyId: string;
  readonly secret: string;
  readonly waiting: WaitingHandler;
  readonly asked: DialectRequest;
  /** Breaks the store from now on. */
  breakStore(): void;
}

/** The headers that tell clients what to do next. */
export interface AdviceHeaders {
  readonly 'www-authenticate'?: string;
  readonly 'retry-after'?: string;
  readonly 'retry-after-ms'?: string;
  readonly 'x-should-retry'?: string;
}

/** One row of the table of refusals: how it is provoked, and what each provider's clients are told. */
export interface RefusalCase {
  readonly title: string;
  /** Of the key that asks. */
  readonly key?: Partial<KeyInput>;
  readonly options?: Omit<LlmGuardOptions, 'keys'>;
  readonly provoke: (setup: RefusingApp) => PromiseLike<request.Response>;
  readonly status: number;
  readonly message: string;
  readonly advice: AdviceHeaders;
  readonly openai: { readonly type: string; readonly code: string; readonly param: string | null };
  /** `code`: where it is not OpenAI's. `status`: where it is not that of the others. */
  readonly anthropic: { readonly type: string; readonly code?: string; readonly status?: number };
  readonly gemini: { readonly status: string; readonly reason: string };
}

const invalidToken = { 'www-authenticate': 'Bearer realm="llm", error="invalid_token"' };
const minuteWindow = { 'retry-after': '60', 'retry-after-ms': '60000' };
const soon = { 'retry-after': '1', 'retry-after-ms': '1000' };
const noRetry = { 'x-should-retry': 'false' };

const unauthenticated = (code: string, reason: string) => ({
  status: 401,
  openai: { type: 'invalid_request_error', code, param: null },
  anthropic: { type: 'authentication_error' },
  gemini: { status: 'UNAUTHENTICATED', reason },
});
const invalid = (status: number, code: string, param: string | null = null) => ({
  status,
  advice: {},
  openai: { type: 'invalid_request_error', code, param },
  anthropic: { type: 'invalid_request_error' },
  gemini: { status: 'INVALID_ARGUMENT', reason: code.toUpperCase() },
});

export const refusalCases: readonly RefusalCase[] = [
  {
    title: 'no key',
    provoke: (setup) => ask(setup, { secret: undefined }),
    message: 'No API key was given. Send it as "Authorization: Bearer <key>".',
    advice: { 'www-authenticate': 'Bearer realm="llm"' },
    ...unauthenticated('missing_api_key', 'CREDENTIALS_MISSING'),
  },
  {
    title: 'an unknown key',
    provoke: (setup) => ask(setup, { secret: mintSecret('sk-llm') }),
    message: 'The API key is not valid.',
    advice: invalidToken,
    ...unauthenticated('invalid_api_key', 'API_KEY_INVALID'),
  },
  {
    title: 'a revoked key',
    async provoke(setup) {
      await setup.keys.revoke(setup.keyId);
      return ask(setup);
    },
    message: 'The API key has been revoked.',
    advice: invalidToken,
    ...unauthenticated('api_key_revoked', 'API_KEY_REVOKED'),
  },
  {
    title: 'a disabled key',
    async provoke(setup) {
      await setup.keys.disable(setup.keyId);
      return ask(setup);
    },
    message: 'The API key is disabled.',
    advice: invalidToken,
    ...unauthenticated('api_key_disabled', 'API_KEY_DISABLED'),
  },
  {
    title: 'an expired key',
    key: { expiresInDays: 1 },
    provoke(setup) {
      setup.clock.advance(24 * 3_600_000);
      return ask(setup);
    },
    message: 'The API key has expired.',
    advice: invalidToken,
    ...unauthenticated('api_key_expired', 'API_KEY_EXPIRED'),
  },
  {
    title: 'too many unknown keys',
    async provoke(setup) {
      for (let count = 0; count < 20; count += 1) await ask(setup, { secret: mintSecret('sk-llm') });
      return ask(setup, { secret: mintSecret('sk-llm') });
    },
    status: 429,
    message: 'Too many requests with keys that are not valid came from this address.',
    advice: { 'retry-after': '3', ...noRetry },
    openai: { type: 'requests', code: 'too_many_failed_attempts', param: null },
    anthropic: { type: 'rate_limit_error' },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_FAILED_ATTEMPTS' },
  },
  {
    title: 'a model that is not allowed',
    key: { models: ['other'] },
    provoke: (setup) => ask(setup),
    status: 403,
    message: 'The model "gpt-4o" is not allowed for this API key.',
    advice: {},
    openai: { type: 'invalid_request_error', code: 'model_not_allowed', param: 'model' },
    anthropic: { type: 'permission_error' },
    gemini: { status: 'PERMISSION_DENIED', reason: 'MODEL_NOT_ALLOWED' },
  },
  {
    title: 'an endpoint that is not permitted',
    key: { permissions: { allowChatCompletions: false } },
    provoke: (setup) => ask(setup),
    status: 403,
    message: 'This endpoint is not permitted for this API key.',
    advice: {},
    openai: { type: 'invalid_request_error', code: 'endpoint_not_permitted', param: null },
    anthropic: { type: 'permission_error' },
    gemini: { status: 'PERMISSION_DENIED', reason: 'ENDPOINT_NOT_PERMITTED' },
  },
  {
    title: 'too many requests a minute',
    key: { rpmLimit: 1 },
    provoke: askTwice,
    status: 429,
    message: 'Rate limit reached: this API key may have 1 requests per minute. Please try again in 61s.',
    advice: minuteWindow,
    openai: { type: 'requests', code: 'rate_limit_exceeded', param: 'key:rpm' },
    anthropic: { type: 'rate_limit_error' },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'RATE_LIMIT_EXCEEDED' },
  },
  {
    title: 'too many requests a day',
    key: { rpdLimit: 1 },
    provoke: askTwice,
    status: 429,
    message: 'Rate limit reached: this API key may have 1 requests per day.',
    advice: { 'retry-after': String((24 * 3600 * 61) / 60), ...noRetry },
    openai: { type: 'requests', code: 'rate_limit_exceeded', param: 'key:rpd' },
    anthropic: { type: 'rate_limit_error' },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'RATE_LIMIT_EXCEEDED' },
  },
  {
    title: 'a key for no requests',
    key: { rpmLimit: 0 },
    provoke: (setup) => ask(setup),
    status: 429,
    message: 'Rate limit reached: this API key may have 0 requests per minute.',
    advice: noRetry,
    openai: { type: 'requests', code: 'rate_limit_exceeded', param: 'key:rpm' },
    anthropic: { type: 'rate_limit_error' },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'RATE_LIMIT_EXCEEDED' },
  },
  {
    title: 'too many tokens a minute',
    key: { tpmLimit: 200 },
    async provoke(setup) {
      const open = ask(setup, { outputCap: 150 }).then();
      await setup.waiting.waiting(1);
      const refused = await ask(setup, { outputCap: 150 });
      setup.waiting.release();
      await open;
      return refused;
    },
    status: 429,
    message: 'Rate limit reached: this API key may have 200 tokens per minute. Please try again in 61s.',
    advice: minuteWindow,
    openai: { type: 'tokens', code: 'rate_limit_exceeded', param: 'key:tpm' },
    anthropic: { type: 'rate_limit_error' },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'RATE_LIMIT_EXCEEDED' },
  },
  {
    title: 'too many requests at once',
    key: { maxParallelRequests: 1 },
    async provoke(setup) {
      const open = ask(setup).then();
      await setup.waiting.waiting(1);
      const refused = await ask(setup);
      setup.waiting.release();
      await open;
      return refused;
    },
    status: 429,
    message: 'Rate limit reached: this API key may have 1 requests at once. Please try again in 1s.',
    advice: soon,
    openai: { type: 'requests', code: 'concurrency_limit_exceeded', param: 'key:parallel' },
    anthropic: { type: 'rate_limit_error' },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'CONCURRENCY_LIMIT' },
  },
  {
    title: 'more tokens than a minute can have',
    key: { tpmLimit: 100 },
    provoke: (setup) => ask(setup, { outputCap: 101 }),
    status: 413,
    message:
      'The request may take more tokens than can ever be let through: this API key may have 100 tokens per minute. Send less, or lower its output cap.',
    advice: noRetry,
    openai: { type: 'tokens', code: 'request_too_large', param: 'key:tpm' },
    anthropic: { type: 'invalid_request_error' },
    gemini: { status: 'INVALID_ARGUMENT', reason: 'REQUEST_TOO_LARGE' },
  },
  {
    title: 'more tokens than a request may have',
    key: { maxTokensPerRequest: 100 },
    provoke: (setup) => ask(setup, { outputCap: 101 }),
    status: 413,
    message:
      'The request may take more tokens than can ever be let through: this API key may have 100 tokens per request. Send less, or lower its output cap.',
    advice: noRetry,
    openai: { type: 'tokens', code: 'request_too_large', param: 'key:max_tokens_per_request' },
    anthropic: { type: 'invalid_request_error' },
    gemini: { status: 'INVALID_ARGUMENT', reason: 'REQUEST_TOO_LARGE' },
  },
  {
    title: 'a budget without a period that is used up',
    key: { maxBudget: 0 },
    provoke: (setup) => ask(setup),
    status: 429,
    message:
      'Quota exhausted: the total budget of this API key cannot pay for this request and its longest possible answer.',
    advice: noRetry,
    openai: { type: 'insufficient_quota', code: 'insufficient_quota', param: 'key:total_budget' },
    anthropic: { type: 'billing_error', code: 'budget_exhausted', status: 402 },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'BUDGET_EXHAUSTED' },
  },
  {
    title: "the monthly budget of the key's team, which is not told",
    key: { teamId: 'red' },
    async provoke(setup) {
      await setup.keys.setPolicy({ team: 'red' }, { maxBudget: 0.00012, budgetDuration: 'monthly' });
      return askTwice(setup);
    },
    status: 429,
    message:
      "Quota exhausted: the monthly budget of the key's team cannot pay for this request and its longest possible answer.",
    // From noon of 15 June to 1 July.
    advice: { 'retry-after': String(15.5 * 24 * 3600), ...noRetry },
    openai: { type: 'insufficient_quota', code: 'insufficient_quota', param: 'team:monthly_budget' },
    anthropic: { type: 'billing_error', code: 'budget_exhausted', status: 402 },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'BUDGET_EXHAUSTED' },
  },
  {
    title: 'a model without a price under a budget',
    key: { maxBudget: 1 },
    provoke: (setup) => ask(setup, { model: 'nameless' }),
    message: 'The model "nameless" has no price, so it cannot be used under a budget.',
    ...invalid(400, 'model_not_priced', 'model'),
  },
  {
    title: 'a store that is out of reach',
    provoke(setup) {
      setup.breakStore();
      return ask(setup);
    },
    status: 503,
    message: 'The request cannot be checked at the moment. Try again.',
    advice: soon,
    openai: { type: 'server_error', code: 'store_unavailable', param: null },
    anthropic: { type: 'api_error' },
    gemini: { status: 'UNAVAILABLE', reason: 'STORE_UNAVAILABLE' },
  },
  {
    title: 'JSON that is none',
    provoke: (setup) => ask(setup, { text: '{"model": "gpt-4o",' }),
    message: 'The body is not valid JSON.',
    ...invalid(400, 'invalid_body'),
  },
  {
    title: 'a list instead of an object',
    provoke: (setup) => ask(setup, { text: '[]' }),
    message: 'The body must be a JSON object.',
    ...invalid(400, 'invalid_body'),
  },
  {
    title: 'a body that is too large',
    options: { json: { limit: 10 } },
    provoke: (setup) => ask(setup),
    message: 'The body of the request is too large.',
    ...invalid(413, 'payload_too_large'),
  },
  {
    title: 'bytes that are not of the encoding they claim',
    provoke: (setup) => ask(setup, { text: '{}', headers: { 'content-encoding': 'gzip' } }),
    message: 'The body could not be read.',
    ...invalid(400, 'invalid_body'),
  },
  {
    title: 'an encoding that nobody knows',
    provoke: (setup) => ask(setup, { text: '{}', headers: { 'content-encoding': 'klingon' } }),
    message: 'The body must be application/json.',
    ...invalid(415, 'unsupported_media_type'),
  },
  {
    title: 'another type than JSON',
    provoke: (setup) => ask(setup, { text: 'model=gpt-4o', headers: { 'content-type': 'text/plain' } }),
    message: 'The body must be application/json.',
    ...invalid(415, 'unsupported_media_type'),
  },
];

interface Asked {
  readonly secret?: string | undefined;
  readonly model?: string;
  readonly outputCap?: number;
  /** Instead of the body. */
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(setup: RefusingApp, asked: Asked = {}) {
  const { model = 'gpt-4o', outputCap = 10, text, headers } = asked;
  const secret = 'secret' in asked ? asked.secret : setup.secret;
  const { path, body, headers: own } = setup.asked;
  return request(setup.app)
    .post(path(model))
    .set({ ...own(secret), 'x-request-id': 'req-1', 'content-type': 'application/json', ...headers })
    .send(text ?? JSON.stringify(body(model, outputCap)));
}

async function askTwice(setup: RefusingApp) {
  setup.waiting.release();
  await ask(setup);
  return ask(setup);
}
