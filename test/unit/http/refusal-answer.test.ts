import assert from 'node:assert/strict';
import type { Dialect } from '../../../lib/http/dialect.ts';
import type { Refusal } from '../../../lib/http/refusal.ts';
import { refusalAnswer, refusalStatus } from '../../../lib/http/refusal-answer.ts';
import { refusalMessage } from '../../../lib/http/refusal-messages.ts';
import { retryHeaders } from '../../../lib/http/retry-headers.ts';

type Told = readonly [type: string, code: string];

interface Row {
  readonly refusal: Refusal;
  readonly message: string;
  readonly openai: readonly [status: number, ...Told, param: string | null];
  readonly anthropic: readonly [status: number, ...Told];
  readonly gemini: readonly [status: number, ...Told];
  readonly headers: Readonly<Record<string, string>>;
}

const noRetry = { 'x-should-retry': 'false' };
const badToken = { 'WWW-Authenticate': 'Bearer realm="llm", error="invalid_token"' };
const soon = { 'Retry-After': '1', 'retry-after-ms': '1000' };
const invalid = 'invalid_request_error';

function closed(status: 'revoked' | 'disabled' | 'expired', message: string): Row {
  const code = `api_key_${status}`;
  return {
    refusal: { kind: 'closed_key', status },
    message,
    openai: [401, invalid, code, null],
    anthropic: [401, 'authentication_error', code],
    gemini: [401, 'UNAUTHENTICATED', code.toUpperCase()],
    headers: badToken,
  };
}

function badRequest(refusal: Refusal, code: string, param: string | null, message: string, status = 400): Row {
  return {
    refusal,
    message,
    openai: [status, invalid, code, param],
    anthropic: [status, invalid, code],
    gemini: [status, 'INVALID_ARGUMENT', code.toUpperCase()],
    headers: {},
  };
}

const table: readonly Row[] = [
  {
    refusal: { kind: 'missing_key' },
    message: 'No API key was given. Send it as "Authorization: Bearer <key>".',
    openai: [401, invalid, 'missing_api_key', null],
    anthropic: [401, 'authentication_error', 'missing_api_key'],
    gemini: [401, 'UNAUTHENTICATED', 'CREDENTIALS_MISSING'],
    headers: { 'WWW-Authenticate': 'Bearer realm="llm"' },
  },
  {
    refusal: { kind: 'invalid_key' },
    message: 'The API key is not valid.',
    openai: [401, invalid, 'invalid_api_key', null],
    anthropic: [401, 'authentication_error', 'invalid_api_key'],
    gemini: [401, 'UNAUTHENTICATED', 'API_KEY_INVALID'],
    headers: badToken,
  },
  {
    refusal: { kind: 'ambiguous_key' },
    message: 'The request carries two different API keys. Send one.',
    openai: [401, invalid, 'invalid_api_key', null],
    anthropic: [401, 'authentication_error', 'invalid_api_key'],
    gemini: [401, 'UNAUTHENTICATED', 'API_KEY_INVALID'],
    headers: badToken,
  },
  closed('revoked', 'The API key has been revoked.'),
  closed('disabled', 'The API key is disabled.'),
  closed('expired', 'The API key has expired.'),
  {
    refusal: { kind: 'too_many_bad_keys', retryAfterMs: 30_000 },
    message: 'Too many requests with keys that are not valid came from this address.',
    openai: [429, 'requests', 'too_many_failed_attempts', null],
    anthropic: [429, 'rate_limit_error', 'too_many_failed_attempts'],
    gemini: [429, 'RESOURCE_EXHAUSTED', 'TOO_MANY_FAILED_ATTEMPTS'],
    headers: { 'Retry-After': '30', ...noRetry },
  },
  {
    refusal: { kind: 'address' },
    message: 'This API key may not be used from this address.',
    openai: [403, invalid, 'ip_not_allowed', null],
    anthropic: [403, 'permission_error', 'ip_not_allowed'],
    gemini: [403, 'PERMISSION_DENIED', 'IP_NOT_ALLOWED'],
    headers: {},
  },
  {
    refusal: { kind: 'model', model: 'claude-3', scope: 'key' },
    message: 'The model "claude-3" is not allowed for this API key.',
    openai: [403, invalid, 'model_not_allowed', 'model'],
    anthropic: [403, 'permission_error', 'model_not_allowed'],
    gemini: [403, 'PERMISSION_DENIED', 'MODEL_NOT_ALLOWED'],
    headers: {},
  },
  {
    refusal: { kind: 'endpoint', scope: 'team' },
    message: "This endpoint is not permitted for the key's team.",
    openai: [403, invalid, 'endpoint_not_permitted', null],
    anthropic: [403, 'permission_error', 'endpoint_not_permitted'],
    gemini: [403, 'PERMISSION_DENIED', 'ENDPOINT_NOT_PERMITTED'],
    headers: {},
  },
  {
    refusal: { kind: 'requests', scope: 'key', limitName: 'rpm', limit: 10, retryAfterMs: 6601 },
    message: 'Rate limit reached: this API key may have 10 requests per minute. Please try again in 6.7s.',
    openai: [429, 'requests', 'rate_limit_exceeded', 'key:rpm'],
    anthropic: [429, 'rate_limit_error', 'rate_limit_exceeded'],
    gemini: [429, 'RESOURCE_EXHAUSTED', 'RATE_LIMIT_EXCEEDED'],
    headers: { 'Retry-After': '7', 'retry-after-ms': '6601' },
  },
  {
    refusal: { kind: 'tokens', scope: 'team', limitName: 'tpd', limit: 90_000, retryAfterMs: 3_600_000 },
    message: "Rate limit reached: tokens per day of the key's team.",
    openai: [429, 'tokens', 'rate_limit_exceeded', 'team:tpd'],
    anthropic: [429, 'rate_limit_error', 'rate_limit_exceeded'],
    gemini: [429, 'RESOURCE_EXHAUSTED', 'RATE_LIMIT_EXCEEDED'],
    headers: { 'Retry-After': '3600', ...noRetry },
  },
  {
    refusal: { kind: 'requests', scope: 'key', limitName: 'rpm', limit: 0, retryAfterMs: null },
    message: 'Rate limit reached: this API key may have 0 requests per minute.',
    openai: [429, 'requests', 'rate_limit_exceeded', 'key:rpm'],
    anthropic: [429, 'rate_limit_error', 'rate_limit_exceeded'],
    gemini: [429, 'RESOURCE_EXHAUSTED', 'RATE_LIMIT_EXCEEDED'],
    headers: noRetry,
  },
  {
    refusal: { kind: 'concurrency', scope: 'key', limitName: 'parallel', limit: 2, retryAfterMs: 1000 },
    message: 'Rate limit reached: this API key may have 2 requests at once. Please try again in 1s.',
    openai: [429, 'requests', 'concurrency_limit_exceeded', 'key:parallel'],
    anthropic: [429, 'rate_limit_error', 'concurrency_limit_exceeded'],
    gemini: [429, 'RESOURCE_EXHAUSTED', 'CONCURRENCY_LIMIT'],
    headers: soon,
  },
  {
    refusal: { kind: 'too_large', scope: 'key', limitName: 'max_tokens_per_request', limit: 1000 },
    message:
      'The request may take more tokens than can ever be let through: this API key may have 1000 tokens per request. Send less, or lower its output cap.',
    openai: [413, 'tokens', 'request_too_large', 'key:max_tokens_per_request'],
    anthropic: [413, invalid, 'request_too_large'],
    gemini: [413, 'INVALID_ARGUMENT', 'REQUEST_TOO_LARGE'],
    headers: noRetry,
  },
  {
    refusal: { kind: 'budget', scope: 'team', limitName: 'monthly_budget', limit: 25e9, retryAfterMs: 2_592_001_000 },
    message:
      "Quota exhausted: the monthly budget of the key's team cannot pay for this request and its longest possible answer.",
    openai: [429, 'insufficient_quota', 'insufficient_quota', 'team:monthly_budget'],
    anthropic: [402, 'billing_error', 'budget_exhausted'],
    gemini: [429, 'RESOURCE_EXHAUSTED', 'BUDGET_EXHAUSTED'],
    headers: { 'Retry-After': '2592001', ...noRetry },
  },
  {
    refusal: { kind: 'budget', scope: 'key', limitName: 'total_budget', limit: 0, retryAfterMs: null },
    message:
      'Quota exhausted: the total budget of this API key cannot pay for this request and its longest possible answer.',
    openai: [429, 'insufficient_quota', 'insufficient_quota', 'key:total_budget'],
    anthropic: [402, 'billing_error', 'budget_exhausted'],
    gemini: [429, 'RESOURCE_EXHAUSTED', 'BUDGET_EXHAUSTED'],
    headers: noRetry,
  },
  badRequest(
    { kind: 'unpriced', model: 'm' },
    'model_not_priced',
    'model',
    'The model "m" has no price, so it cannot be used under a budget.',
  ),
  {
    refusal: { kind: 'store_down' },
    message: 'The request cannot be checked at the moment. Try again.',
    openai: [503, 'server_error', 'store_unavailable', null],
    anthropic: [503, 'api_error', 'store_unavailable'],
    gemini: [503, 'UNAVAILABLE', 'STORE_UNAVAILABLE'],
    headers: soon,
  },
  badRequest({ kind: 'invalid_path' }, 'invalid_path', null, 'The path of the request is not valid.'),
  badRequest({ kind: 'model_required' }, 'model_required', 'model', 'The request names no model.'),
  badRequest({ kind: 'model_conflict' }, 'model_conflict', 'model', 'The request names different models.'),
  badRequest(
    { kind: 'not_metered', what: 'A background response', param: 'background' },
    'not_metered',
    'background',
    'A background response cannot be metered, so it is not available here.',
  ),
  badRequest(
    { kind: 'invalid_body', problem: 'The body must be a JSON object.', param: null },
    'invalid_body',
    null,
    'The body must be a JSON object.',
  ),
  badRequest({ kind: 'body_too_large' }, 'payload_too_large', null, 'The body of the request is too large.', 413),
  badRequest(
    { kind: 'media_type', expected: 'application/json' },
    'unsupported_media_type',
    null,
    'The body must be application/json.',
    415,
  ),
];

const requestId = 'req_1';

describe('refusalAnswer', () => {
  for (const { refusal, message, openai, anthropic, gemini, headers } of table) {
    const answer = (dialect: Dialect) => refusalAnswer(refusal, { dialect, requestId });
    const name = 'limitName' in refusal ? `${refusal.kind} (${refusal.scope}:${refusal.limitName})` : refusal.kind;

    it(`tells ${name} to clients of OpenAI`, () => {
      const [status, type, code, param] = openai;
      assert.deepEqual(answer('openai'), { status, headers, body: { error: { message, type, param, code } } });
    });

    it(`tells ${name} to clients of Anthropic`, () => {
      const [status, type, error_code] = anthropic;
      const error = { type, message, details: { error_code } };
      assert.deepEqual(answer('anthropic'), {
        status,
        headers,
        body: { type: 'error', message, error, request_id: requestId },
      });
    });

    it(`tells ${name} to clients of Gemini`, () => {
      const [code, status, reason] = gemini;
      const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'express-llm-keys' }];
      assert.deepEqual(answer('gemini'), {
        status: code,
        headers,
        body: { error: { code, message, status, details } },
      });
    });
  }

  it('answers budgets with 402 when asked to, and nothing else', () => {
    for (const { refusal, openai, anthropic } of table) {
      const isBudget = refusal.kind === 'budget';
      const options = { requestId, budgetStatus: 402 } as const;
      assert.equal(refusalAnswer(refusal, { ...options, dialect: 'openai' }).status, isBudget ? 402 : openai[0]);
      assert.equal(refusalStatus(refusal, { ...options, dialect: 'gemini' }), isBudget ? 402 : openai[0]);
      assert.equal(refusalStatus(refusal, { ...options, dialect: 'anthropic' }), anthropic[0]);
    }
  });

  it('asks for no further try when no slot can ever be free', () => {
    const refusal = { kind: 'concurrency', scope: 'key', limitName: 'parallel', limit: 0, retryAfterMs: null } as const;
    assert.deepEqual(refusalAnswer(refusal, { dialect: 'openai', requestId }).headers, noRetry);
  });
});

describe('retryHeaders', () => {
  const waits: readonly [retryAfterMs: number | null, headers: Readonly<Record<string, string>>][] = [
    [0, { 'Retry-After': '1', 'retry-after-ms': '1' }],
    [1, { 'Retry-After': '1', 'retry-after-ms': '1' }],
    [1000.2, { 'Retry-After': '2', 'retry-after-ms': '1001' }],
    [60_000, { 'Retry-After': '60', 'retry-after-ms': '60000' }],
    [60_001, { 'Retry-After': '60', 'retry-after-ms': '60000' }],
    [61_000, { 'Retry-After': '60', 'retry-after-ms': '60000' }],
    [61_001, { 'Retry-After': '62', 'x-should-retry': 'false' }],
    [null, { 'x-should-retry': 'false' }],
  ];
  for (const [retryAfterMs, headers] of waits) {
    it(`tells a wait of ${retryAfterMs} ms`, () => {
      assert.deepEqual(retryHeaders(retryAfterMs), headers);
    });
  }
});

describe('refusalMessage', () => {
  // As @langchain/core 1.4 reads them: it gives up on the first, and waits on the second.
  const exhausted =
    /insufficient[_ -]?quota|quota (has been )?exhausted|billing|credit balance|out of credits|will reset at|usage quota/i;
  const tryAgain = /try again in ([\d.]+)s/i;

  it('speaks of quotas when a budget refuses, and only then', () => {
    for (const { refusal, message } of table) {
      assert.equal(exhausted.test(message), refusal.kind === 'budget', message);
      assert.equal(refusalMessage(refusal), message);
    }
  });

  it('tells no figure that a key shares with others', () => {
    for (const scope of ['user', 'team', 'global'] as const) {
      for (const kind of ['requests', 'tokens', 'concurrency', 'budget', 'too_large'] as const) {
        const refusal: Refusal = { kind, scope, limitName: 'tpm', limit: 12_345, retryAfterMs: null };
        const { body } = refusalAnswer(refusal, { dialect: 'openai', requestId });
        assert.ok(!JSON.stringify(body).includes('12345'), `${kind} of ${scope}`);
      }
    }
  });

  it('tells short waits in seconds, never 0', () => {
    const wait = (retryAfterMs: number) =>
      tryAgain.exec(refusalMessage({ kind: 'tokens', scope: 'key', limitName: 'tpm', limit: 1, retryAfterMs }))?.[1];
    assert.deepEqual([0, 40, 999, 60_001, 61_001].map(wait), ['0.1', '0.1', '1', '60.1', undefined]);
  });
});
