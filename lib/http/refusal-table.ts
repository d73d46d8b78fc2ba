import type { RefusalCode } from '../errors.ts';
import type { Refusal } from './refusal.ts';

/** One row: how a kind of refusal is told to the clients of each provider. */
export interface RefusalRow {
  readonly status: number;
  readonly code: RefusalCode;
  /** OpenAI's `error.type`. */
  readonly type: 'invalid_request_error' | 'requests' | 'tokens' | 'insufficient_quota' | 'server_error';
  /** Anthropic's `error.type`, of the closed list its client knows. `status` and `code` where they differ there. */
  readonly anthropic: {
    readonly type:
      | 'invalid_request_error'
      | 'authentication_error'
      | 'permission_error'
      | 'rate_limit_error'
      | 'billing_error'
      | 'api_error';
    readonly status?: number;
    readonly code?: string;
  };
  /** Gemini's `error.status`, and the reason of its `ErrorInfo`. */
  readonly gemini: {
    readonly status:
      | 'UNAUTHENTICATED'
      | 'PERMISSION_DENIED'
      | 'RESOURCE_EXHAUSTED'
      | 'INVALID_ARGUMENT'
      | 'UNAVAILABLE';
    readonly reason: string;
  };
}

function unauthenticated(code: RefusalCode, reason: string): RefusalRow {
  return {
    status: 401,
    code,
    type: 'invalid_request_error',
    anthropic: { type: 'authentication_error' },
    gemini: { status: 'UNAUTHENTICATED', reason },
  };
}

function forbidden(code: RefusalCode): RefusalRow {
  return {
    status: 403,
    code,
    type: 'invalid_request_error',
    anthropic: { type: 'permission_error' },
    gemini: { status: 'PERMISSION_DENIED', reason: code.toUpperCase() },
  };
}

function tooMany(code: RefusalCode, type: 'requests' | 'tokens', reason: string): RefusalRow {
  return {
    status: 429,
    code,
    type,
    anthropic: { type: 'rate_limit_error' },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason },
  };
}

function invalid(
  status: 400 | 413 | 415,
  code: RefusalCode,
  type: RefusalRow['type'] = 'invalid_request_error',
): RefusalRow {
  return {
    status,
    code,
    type,
    anthropic: { type: 'invalid_request_error' },
    gemini: { status: 'INVALID_ARGUMENT', reason: code.toUpperCase() },
  };
}

const rows: { readonly [kind in Exclude<Refusal['kind'], 'closed_key'>]: RefusalRow } = {
  missing_key: unauthenticated('missing_api_key', 'CREDENTIALS_MISSING'),
  invalid_key: unauthenticated('invalid_api_key', 'API_KEY_INVALID'),
  ambiguous_key: unauthenticated('invalid_api_key', 'API_KEY_INVALID'),
  too_many_bad_keys: tooMany('too_many_failed_attempts', 'requests', 'TOO_MANY_FAILED_ATTEMPTS'),
  address: forbidden('ip_not_allowed'),
  model: forbidden('model_not_allowed'),
  endpoint: forbidden('endpoint_not_permitted'),
  requests: tooMany('rate_limit_exceeded', 'requests', 'RATE_LIMIT_EXCEEDED'),
  tokens: tooMany('rate_limit_exceeded', 'tokens', 'RATE_LIMIT_EXCEEDED'),
  concurrency: tooMany('concurrency_limit_exceeded', 'requests', 'CONCURRENCY_LIMIT'),
  too_large: invalid(413, 'request_too_large', 'tokens'),
  budget: {
    status: 429,
    code: 'insufficient_quota',
    type: 'insufficient_quota',
    // Anthropic's client tries every 429 again, and has a class of its own for 402.
    anthropic: { type: 'billing_error', status: 402, code: 'budget_exhausted' },
    gemini: { status: 'RESOURCE_EXHAUSTED', reason: 'BUDGET_EXHAUSTED' },
  },
  unpriced: invalid(400, 'model_not_priced'),
  store_down: {
    status: 503,
    code: 'store_unavailable',
    type: 'server_error',
    anthropic: { type: 'api_error' },
    gemini: { status: 'UNAVAILABLE', reason: 'STORE_UNAVAILABLE' },
  },
  invalid_path: invalid(400, 'invalid_path'),
  model_required: invalid(400, 'model_required'),
  model_conflict: invalid(400, 'model_conflict'),
  not_metered: invalid(400, 'not_metered'),
  invalid_body: invalid(400, 'invalid_body'),
  body_too_large: invalid(413, 'payload_too_large'),
  media_type: invalid(415, 'unsupported_media_type'),
};

const closedKey = {
  revoked: unauthenticated('api_key_revoked', 'API_KEY_REVOKED'),
  disabled: unauthenticated('api_key_disabled', 'API_KEY_DISABLED'),
  expired: unauthenticated('api_key_expired', 'API_KEY_EXPIRED'),
};

/** The row of a refusal. */
export function refusalRow(refusal: Refusal): RefusalRow {
  return refusal.kind === 'closed_key' ? closedKey[refusal.status] : rows[refusal.kind];
}
