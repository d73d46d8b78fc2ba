import assert from 'node:assert/strict';
import { clientHeaders, upstreamHeaders, upstreamPaths } from '../../../lib/gateway/upstream-request.ts';

describe('upstreamPaths', () => {
  for (const [base, target, url] of [
    ['https://api.openai.com', '/v1/chat/completions', 'https://api.openai.com/v1/chat/completions'],
    ['https://api.openai.com/v1', '/v1/chat/completions', 'https://api.openai.com/v1/chat/completions'],
    ['https://api.openai.com/v1/', '/v1/embeddings', 'https://api.openai.com/v1/embeddings'],
    ['https://host/openai/v1', '/v1/embeddings', 'https://host/openai/v1/embeddings'],
    ['https://host/api/paas/v4', '/v1/chat/completions', 'https://host/api/paas/v4/chat/completions'],
    ['https://host/v1beta/openai', '/v1/chat/completions', 'https://host/v1beta/openai/chat/completions'],
    [
      'http://litellm:4000/v1',
      '/v1beta/models/g:generateContent',
      'http://litellm:4000/v1beta/models/g:generateContent',
    ],
    ['https://host/v1beta', '/v1beta/models/g:countTokens', 'https://host/v1beta/models/g:countTokens'],
    [
      'https://host',
      '/v1beta/models/g:streamGenerateContent?alt=sse&key=sk-x',
      'https://host/v1beta/models/g:streamGenerateContent?alt=sse',
    ],
    ['https://host', '/v1/models/org%2Fname?a=%26', 'https://host/v1/models/org%2Fname?a=%26'],
    ['https://host', 'http://elsewhere/v1/models/x', 'https://host/v1/models/x'],
  ] as const) {
    it(`sends ${target} to ${url} for ${base}`, () => {
      assert.equal(`${new URL(base).origin}${upstreamPaths(new URL(base))(target)}`, url);
    });
  }
});

describe('upstreamHeaders', () => {
  const baseUrl = new URL('https://host');
  const identity = { 'accept-encoding': 'identity' };

  it('passes on what the provider reads, and nothing of who asks', () => {
    const headers = upstreamHeaders({ baseUrl, apiKey: 'sk-upstream' }, 'openai', {
      host: 'gateway',
      accept: 'application/json',
      'accept-encoding': 'gzip, br',
      authorization: 'Bearer eyJ.of.somebody',
      'x-api-key': 'sk-client',
      connection: 'keep-alive, x-private',
      'content-length': '12',
      'content-type': 'application/json',
      cookie: 'session=1',
      forwarded: 'for=10.0.0.1',
      'idempotency-key': '1',
      'openai-organization': 'org-client',
      'proxy-authorization': 'Basic eA==',
      te: 'trailers',
      'transfer-encoding': 'chunked',
      'user-agent': 'OpenAI/JS',
      'x-forwarded-for': '10.0.0.1',
      'x-private': '1',
      'x-stainless-lang': 'js',
    });
    assert.deepEqual(headers, {
      ...identity,
      accept: 'application/json',
      'content-type': 'application/json',
      'user-agent': 'OpenAI/JS',
      'x-stainless-lang': 'js',
      authorization: 'Bearer sk-upstream',
    });
  });

  it('sends no credential where the upstream needs none', () => {
    assert.deepEqual(
      upstreamHeaders({ baseUrl, apiKey: undefined }, 'openai', { authorization: 'Bearer x' }),
      identity,
    );
  });

  for (const [dialect, given, sent] of [
    ['gemini', {}, { 'x-goog-api-key': 'sk-upstream' }],
    ['anthropic', {}, { 'x-api-key': 'sk-upstream', 'anthropic-version': '2023-06-01' }],
    [
      'anthropic',
      { 'anthropic-version': '2023-06-01', 'anthropic-beta': 'x' },
      { 'x-api-key': 'sk-upstream', 'anthropic-version': '2023-06-01', 'anthropic-beta': 'x' },
    ],
    [
      'anthropic',
      { 'anthropic-version': '2026-10-21' },
      { authorization: 'Bearer sk-upstream', 'anthropic-version': '2026-10-21' },
    ],
  ] as const) {
    it(`puts the credential where ${dialect} reads it for ${JSON.stringify(given)}`, () => {
      assert.deepEqual(upstreamHeaders({ baseUrl, apiKey: 'sk-upstream' }, dialect, given), { ...identity, ...sent });
    });
  }
});

describe('clientHeaders', () => {
  it('keeps what describes the answer, and drops what describes the account of the gateway', () => {
    const headers = clientHeaders({
      'content-type': 'text/event-stream',
      'retry-after': '2',
      'retry-after-ms': '1500',
      'x-should-retry': 'true',
      connection: 'keep-alive',
      'transfer-encoding': 'chunked',
      'set-cookie': ['a=1'],
      'openai-organization': 'org-gateway',
      'x-request-id': 'req_upstream',
      'x-ratelimit-remaining-requests': '9999',
      'anthropic-ratelimit-requests-remaining': '9999',
    });
    assert.deepEqual(headers, {
      'content-type': 'text/event-stream',
      'retry-after': '2',
      'retry-after-ms': '1500',
      'x-should-retry': 'true',
    });
  });
});
