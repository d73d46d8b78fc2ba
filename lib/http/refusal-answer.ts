import type { Dialect } from './dialect.ts';
import type { Refusal } from './refusal.ts';
import { refusalMessage } from './refusal-messages.ts';
import { type RefusalRow, refusalRow } from './refusal-table.ts';
import { finalHeaders, retryHeaders } from './retry-headers.ts';

/** A refusal as it is sent. The body is JSON also where a stream was asked for: nothing was streamed yet. */
export interface RefusalAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: object;
}

export interface AnswerOptions {
  readonly dialect: Dialect;
  readonly requestId: string;
  /**
   * Status of budget refusals. Anthropic's is 402 in any case; 402 helps clients that try every 429 again, whatever the
   * headers say.
   *
   * @defaultValue 429
   */
  readonly budgetStatus?: 429 | 402 | undefined;
}

const errorDomain = 'express-llm-keys';
/** Slots and stores come back at any moment. */
const soonMs = 1000;

/** The answer to a refused request, in the dialect of its client. */
export function refusalAnswer(refusal: Refusal, options: AnswerOptions): RefusalAnswer {
  const row = refusalRow(refusal);
  const status = refusalStatus(refusal, options);
  const message = refusalMessage(refusal);
  return {
    status,
    headers: headersOf(refusal),
    body: bodies[options.dialect](row, { ...options, refusal, status, message }),
  };
}

/** The status of a refused request: the same in all dialects but for budgets. */
export function refusalStatus(
  refusal: Refusal,
  { dialect, budgetStatus = 429 }: Omit<AnswerOptions, 'requestId'>,
): number {
  const { status, anthropic } = refusalRow(refusal);
  if (dialect === 'anthropic') return anthropic.status ?? status;
  return refusal.kind === 'budget' ? budgetStatus : status;
}

/** What refused, for machines: `model`, `team:monthly_budget`, `key:rpm`, … */
export function refusalParam(refusal: Refusal): string | null {
  switch (refusal.kind) {
    case 'model':
    case 'model_required':
    case 'model_conflict':
    case 'unpriced':
      return 'model';
    case 'requests':
    case 'tokens':
    case 'concurrency':
    case 'too_large':
    case 'budget':
      return `${refusal.scope}:${refusal.limitName}`;
    case 'not_metered':
    case 'invalid_body':
      return refusal.param;
    default:
      return null;
  }
}

interface Told {
  readonly refusal: Refusal;
  readonly status: number;
  readonly message: string;
  readonly requestId: string;
}

const bodies: { readonly [dialect in Dialect]: (row: RefusalRow, told: Told) => object } = {
  openai: ({ type, code }, { refusal, message }) => ({ error: { message, type, param: refusalParam(refusal), code } }),
  anthropic: ({ code, anthropic }, { message, requestId }) => ({
    type: 'error',
    // Without a message at the top, Anthropic's client shows the whole body as JSON.
    message,
    error: { type: anthropic.type, message, details: { error_code: anthropic.code ?? code } },
    request_id: requestId,
  }),
  gemini: ({ gemini }, { status, message }) => ({
    error: {
      code: status,
      message,
      status: gemini.status,
      details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: gemini.reason, domain: errorDomain }],
    },
  }),
};

function headersOf(refusal: Refusal): RefusalAnswer['headers'] {
  switch (refusal.kind) {
    case 'missing_key':
      return { 'WWW-Authenticate': 'Bearer realm="llm"' };
    case 'invalid_key':
    case 'ambiguous_key':
    case 'closed_key':
      // RFC 6750 §3.1.
      return { 'WWW-Authenticate': 'Bearer realm="llm", error="invalid_token"' };
    case 'too_many_bad_keys':
    case 'budget':
      return finalHeaders(refusal.retryAfterMs);
    case 'too_large':
      return finalHeaders(null);
    case 'requests':
    case 'tokens':
      return retryHeaders(refusal.retryAfterMs);
    case 'concurrency':
      return retryHeaders(refusal.retryAfterMs === null ? null : soonMs);
    case 'store_down':
      return retryHeaders(soonMs);
    default:
      return {};
  }
}
