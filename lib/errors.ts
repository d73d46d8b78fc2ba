/** Every code an error of this package may carry, for `switch` statements that the compiler checks. */
export type ErrorCode =
  | 'invalid_request'
  | 'quota_limits_exceeded'
  | 'unauthorized'
  | 'forbidden'
  | 'key_not_found'
  | 'alias_taken'
  | 'version_conflict'
  | 'key_revoked'
  | 'owner_key_limit'
  | 'payload_too_large'
  | 'unsupported_media_type'
  | 'store_unavailable'
  | 'fence_pending'
  | 'litellm_unavailable'
  | 'litellm_refused'
  | 'litellm_unexpected'
  | RefusalCode;

/** Codes of refused LLM requests, as OpenAI clients read them in `error.code`. */
export type RefusalCode =
  | 'missing_api_key'
  | 'invalid_api_key'
  | 'api_key_revoked'
  | 'api_key_disabled'
  | 'api_key_expired'
  | 'too_many_failed_attempts'
  | 'ip_not_allowed'
  | 'model_not_allowed'
  | 'endpoint_not_permitted'
  | 'rate_limit_exceeded'
  | 'concurrency_limit_exceeded'
  | 'request_too_large'
  | 'insufficient_quota'
  | 'model_not_priced'
  | 'not_metered'
  | 'invalid_path'
  | 'model_required'
  | 'model_conflict'
  | 'store_unavailable'
  | 'unsupported_media_type'
  | 'invalid_body'
  | 'payload_too_large';

/** One problem of a rejected input: where it is and what is wrong with it. */
export interface Problem {
  /** Dotted path of the field, such as `modelRpmLimit.gpt-4o`. */
  readonly field: string;
  readonly message: string;
}

export interface ErrorOptions {
  readonly param?: string | undefined;
  readonly details?: readonly Problem[] | undefined;
  readonly cause?: unknown;
}

// Both builds of the package (ESM and CommonJS) may live in one process; `instanceof` fails across them, a brand does not.
const brand = Symbol.for('express-llm-keys.error');

/** Base of every error this package throws on purpose. Misuse of an API is a plain `TypeError` instead. */
export class LlmKeysError extends Error {
  readonly code: ErrorCode;
  /** The HTTP status that tells this error to a client. */
  readonly status: number;
  /** The field or limit that the error is about. */
  readonly param: string | null;
  /** Every problem found, not only the first. */
  readonly details: readonly Problem[];
  readonly [brand] = true;

  constructor(code: ErrorCode, status: number, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.status = status;
    this.param = options.param ?? null;
    this.details = options.details ?? [];
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // Subclasses keep the ordinary check; only the base is recognised across copies.
    return this === LlmKeysError ? isLlmKeysError(value) : Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

/** Whether a value is an error of this package, of whichever copy. */
export function isLlmKeysError(value: unknown): value is LlmKeysError {
  return typeof value === 'object' && value !== null && brand in value;
}

/** 400: the input has one or more problems, all of them in `details`. */
export class InvalidRequestError extends LlmKeysError {
  constructor(details: readonly Problem[], message = describe(details)) {
    super('invalid_request', 400, message, { details, param: details[0]?.field });
  }
}

/** 400: one or more fields pass the configured maximums, all of them in `details`. */
export class QuotaLimitsExceededError extends LlmKeysError {
  constructor(details: readonly Problem[]) {
    super('quota_limits_exceeded', 400, describe(details), { details, param: details[0]?.field });
  }
}

/** 401: the caller of an admin route is not known. */
export class UnauthorizedError extends LlmKeysError {
  constructor(message = 'Authentication is required') {
    super('unauthorized', 401, message);
  }
}

/** 403: the caller is known and may not do this. */
export class ForbiddenError extends LlmKeysError {
  constructor(message = 'This action is not permitted', options?: ErrorOptions) {
    super('forbidden', 403, message, options);
  }
}

/** 404: no such key, or none that the caller may know about. */
export class KeyNotFoundError extends LlmKeysError {
  constructor() {
    super('key_not_found', 404, 'No such key');
  }
}

/** 409: every alias tried for this name exists already. */
export class AliasTakenError extends LlmKeysError {
  constructor() {
    super('alias_taken', 409, 'The alias is taken');
  }
}

/** 409: the record was changed by somebody else since it was read. */
export class VersionConflictError extends LlmKeysError {
  constructor(currentVersion: number) {
    super('version_conflict', 409, `The key was changed meanwhile; its version is ${currentVersion}`, {
      param: 'version',
    });
  }
}

/** 409: a revoked key cannot be changed any more. */
export class KeyRevokedError extends LlmKeysError {
  constructor() {
    super('key_revoked', 409, 'The key is revoked');
  }
}

/** 409: the owner has as many active keys as are allowed. */
export class OwnerKeyLimitError extends LlmKeysError {
  constructor(limit: number) {
    super('owner_key_limit', 409, `The owner already has ${limit} active keys, which is the most allowed`);
  }
}

/** 429: too many secrets that belong to nobody came from one address. */
export class TooManyFailedAttemptsError extends LlmKeysError {
  readonly retryAfterMs: number;

  constructor(retryAfterMs: number) {
    super('too_many_failed_attempts', 429, 'Too many wrong secrets came from this address');
    this.retryAfterMs = retryAfterMs;
  }
}

/** 413: the body is larger than the route takes. */
export class PayloadTooLargeError extends LlmKeysError {
  constructor(message = 'The body is too large') {
    super('payload_too_large', 413, message);
  }
}

/** 415: the body is not of a type that the route reads. */
export class UnsupportedMediaTypeError extends LlmKeysError {
  constructor(message = 'The body must be application/json') {
    super('unsupported_media_type', 415, message);
  }
}

/** 503: the store could not answer. The request was refused, or its outcome is unknown; `cause` has the driver's error. */
export class StoreUnavailableError extends LlmKeysError {
  constructor(message = 'The store is unavailable', options?: ErrorOptions) {
    super('store_unavailable', 503, message, options);
  }
}

/**
 * 503: the change is stored, and the ledger (of a combined store, or in another slot of Redis) has yet to hear of it; it
 * will as soon as it answers. Until then calls may be judged by the record before the change, for at most `cacheMs`.
 */
export class FencePendingError extends LlmKeysError {
  constructor(options?: ErrorOptions) {
    super('fence_pending', 503, 'The change is stored, and in force everywhere as soon as the ledger answers', options);
  }
}

/** What LiteLLM answered to a call that it did not carry out, as far as it answered. */
export interface LiteLLMAnswer {
  /** Whether it may have got the call. */
  readonly wasSent: boolean;
  /** HTTP status; `null`: there was no answer. */
  readonly status: number | null;
  /** LiteLLM's own word, such as `budget_exceeded` or `not_found_error`. */
  readonly type: string | null;
  readonly param: string | null;
  /** How long it wants to be left alone. */
  readonly retryAfterMs: number | null;
}

/**
 * 503 `litellm_unavailable`: LiteLLM gave no answer, or failed, and whether the call was carried out is not known.
 * 502 `litellm_refused`: it answered that it does not do this. 502 `litellm_unexpected`: what answered is not LiteLLM, or a
 * version that this package does not know.
 */
export class LiteLLMError extends LlmKeysError {
  readonly answer: LiteLLMAnswer;

  constructor(
    code: 'litellm_unavailable' | 'litellm_refused' | 'litellm_unexpected',
    message: string,
    answer: LiteLLMAnswer = { wasSent: false, status: null, type: null, param: null, retryAfterMs: null },
    options?: ErrorOptions,
  ) {
    super(code, code === 'litellm_unavailable' ? 503 : 502, message, options);
    this.answer = answer;
  }
}

function describe(details: readonly Problem[]): string {
  return details.map((problem) => `${problem.field}: ${problem.message}`).join('; ');
}
