import assert from 'node:assert/strict';
import { goDuration } from '../../../lib/http/go-duration.ts';
import {
  exposedHeaders,
  headerFamilies,
  type RateLimitStandings,
  rateLimitHeaderNames,
  rateLimitHeaders,
} from '../../../lib/http/rate-limit-headers.ts';

const nowMs = Date.parse('2026-11-21T14:22:20.250Z');
const standings: RateLimitStandings = {
  requests: { limit: 60, remaining: 12, resetMs: 31_200, windowMs: 60_000 },
  tokens: { limit: 90_000, remaining: 40_000, resetMs: 60_052, windowMs: 60_000 },
  rpm: { limit: 60, remaining: 12 },
  tpm: { limit: 100_000, remaining: 70_000 },
};
const unlimited: RateLimitStandings = { requests: null, tokens: null, rpm: null, tpm: null };

describe('rateLimitHeaders', () => {
  it('writes them as OpenAI does', () => {
    assert.deepEqual(rateLimitHeaders(['openai'], standings, nowMs), {
      'x-ratelimit-limit-requests': '60',
      'x-ratelimit-remaining-requests': '12',
      'x-ratelimit-reset-requests': '31.2s',
      'x-ratelimit-limit-tokens': '90000',
      'x-ratelimit-remaining-tokens': '40000',
      'x-ratelimit-reset-tokens': '1m0.052s',
    });
  });

  it('writes them as Anthropic does, with the end rounded up to a second', () => {
    assert.deepEqual(rateLimitHeaders(['anthropic'], standings, nowMs), {
      'anthropic-ratelimit-requests-limit': '60',
      'anthropic-ratelimit-requests-remaining': '12',
      'anthropic-ratelimit-requests-reset': '2026-11-21T14:22:52Z',
      'anthropic-ratelimit-tokens-limit': '90000',
      'anthropic-ratelimit-tokens-remaining': '40000',
      'anthropic-ratelimit-tokens-reset': '2026-11-21T14:23:21Z',
    });
  });

  it('writes requests as the IETF draft does', () => {
    assert.deepEqual(rateLimitHeaders(['ietf'], standings, nowMs), {
      'RateLimit-Policy': '"requests";q=60;w=60',
      RateLimit: '"requests";r=12;t=32',
    });
  });

  it('writes limits by the minute for older clients', () => {
    assert.deepEqual(rateLimitHeaders(['legacy'], standings, nowMs), {
      'X-RateLimit-Limit-RPM': '60',
      'X-RateLimit-Remaining-RPM': '12',
      'X-RateLimit-Limit-TPM': '100000',
      'X-RateLimit-Remaining-TPM': '70000',
    });
  });

  it('writes no number where there is no limit', () => {
    assert.deepEqual(rateLimitHeaders(headerFamilies, unlimited, nowMs), {
      'X-RateLimit-Limit-RPM': 'unlimited',
      'X-RateLimit-Remaining-RPM': 'unlimited',
      'X-RateLimit-Limit-TPM': 'unlimited',
      'X-RateLimit-Remaining-TPM': 'unlimited',
    });
  });

  it('writes nothing below 0', () => {
    const below = { limit: 0, remaining: -7, resetMs: -5, windowMs: 60_000 };
    const headers = rateLimitHeaders(headerFamilies, { requests: below, tokens: below, rpm: below, tpm: below }, nowMs);
    for (const [name, value] of Object.entries(headers)) assert.doesNotMatch(value, /(^|=)-/, name);
    assert.equal(headers['x-ratelimit-remaining-requests'], '0');
    assert.equal(headers['x-ratelimit-reset-requests'], '0s');
    assert.equal(headers.RateLimit, '"requests";r=0;t=0');
  });

  it('writes the families asked for together, and only names that are exposed', () => {
    for (const asked of [headerFamilies, ['openai', 'legacy'], ['anthropic'], []] as const) {
      const names = Object.keys(rateLimitHeaders(asked, standings, nowMs));
      assert.deepEqual(names.toSorted(), rateLimitHeaderNames(asked).toSorted());
    }
  });
});

describe('exposedHeaders', () => {
  it('names all that a client in a browser may read', () => {
    assert.deepEqual(exposedHeaders(['legacy']), [
      'x-request-id',
      'request-id',
      'Retry-After',
      'retry-after-ms',
      'x-should-retry',
      'X-RateLimit-Limit-RPM',
      'X-RateLimit-Remaining-RPM',
      'X-RateLimit-Limit-TPM',
      'X-RateLimit-Remaining-TPM',
    ]);
  });
});

describe('goDuration', () => {
  const durations: readonly [ms: number, text: string][] = [
    [-1, '0s'],
    [0, '0s'],
    [0.2, '1ms'],
    [12, '12ms'],
    [999, '999ms'],
    [999.5, '1s'],
    [1000, '1s'],
    [59_999, '59.999s'],
    [60_000, '1m0s'],
    [60_052, '1m0.052s'],
    [360_000, '6m0s'],
    [3_600_000, '1h0m0s'],
    [86_399_500, '23h59m59.5s'],
  ];
  for (const [ms, text] of durations) it(`writes ${ms} ms as ${text}`, () => assert.equal(goDuration(ms), text));
});
