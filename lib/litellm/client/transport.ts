import axios, { type AxiosResponse, isAxiosError } from 'axios';
import {
  BrokenCircuitError,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhen,
  type IBackoffFactory,
  type IRetryBackoffContext,
  retry,
  wrap,
} from 'cockatiel';
import { LiteLLMError } from '../../errors.ts';
import { isEnterpriseOnly, readErrorBody } from './error-body.ts';

export interface LiteLLMRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: { readonly [name: string]: string | number | undefined };
  readonly body?: unknown;
  /** Whether doing it twice comes to the same as doing it once. Only then is it repeated when its outcome is unknown. */
  readonly isRepeatable: boolean;
  /** From this moment of `performance.now()` on it is not sent any more. */
  readonly sendUntilMs?: number | undefined;
  /** Told of each attempt that was sent and not answered: LiteLLM may carry it out even later. */
  readonly onUnanswered?: (() => void) | undefined;
}

export interface LiteLLMReply {
  readonly status: number;
  readonly body: unknown;
  readonly version: string | null;
}

/**
 * Sends a request with the master key.
 *
 * @throws LiteLLMError `litellm_refused` for a 4xx, `litellm_unavailable` when there was no answer, or a failure, in time
 */
export type Transport = (request: LiteLLMRequest) => Promise<LiteLLMReply>;

export interface TransportOptions {
  readonly baseUrl: URL;
  readonly masterKey: string;
  /** For one attempt. */
  readonly timeoutMs: number;
}

const attempts = 3;
const failuresToOpen = 5;
const probeAfterMs = 30_000;
/** A server that wants to be left alone longer is told of, not waited for. */
const maxPauseMs = 10_000;

export function createTransport({ baseUrl, masterKey, timeoutMs }: TransportOptions): Transport {
  const http = axios.create({
    baseURL: baseUrl.href.replace(/\/+$/, ''),
    headers: { authorization: `Bearer ${masterKey}` },
    timeout: timeoutMs,
    validateStatus: () => true,
    // The master key goes to the one server that was named.
    maxRedirects: 0,
    proxy: false,
    maxContentLength: 64 * 1024 * 1024,
  });
  const breaker = circuitBreaker(handleWhen(isDown), {
    breaker: new ConsecutiveBreaker(failuresToOpen),
    halfOpenAfter: probeAfterMs,
  });
  const backoff = asAsked(new ExponentialBackoff({ initialDelay: 100, maxDelay: maxPauseMs }));
  const repeating = retry(handleWhen(isUnavailable), { maxAttempts: attempts - 1, backoff });
  const repeated = wrap(repeating, breaker);

  async function attempt(request: LiteLLMRequest): Promise<LiteLLMReply> {
    try {
      return await sendOnce(request);
    } catch (error) {
      if (isUnanswered(error)) request.onUnanswered?.();
      throw error;
    }
  }

  async function sendOnce({ method, path, query, body, sendUntilMs }: LiteLLMRequest): Promise<LiteLLMReply> {
    if (sendUntilMs !== undefined && performance.now() >= sendUntilMs) throw new TooLateError();
    let response: AxiosResponse<unknown>;
    try {
      // `timeout` alone does not end an attempt that waits for its connection.
      const signal = AbortSignal.timeout(timeoutMs);
      response = await http.request({ method, url: path, params: query ?? {}, data: body, signal });
    } catch (error) {
      throw unanswered(error, timeoutMs);
    }
    const { status, data, headers } = response;
    if (status >= 200 && status < 300) return { status, body: data, version: versionOf(headers['x-litellm-version']) };
    const { message, type, param } = readErrorBody(data, masterKey);
    const answer = { wasSent: true, status, type, param, retryAfterMs: readRetryAfter(headers['retry-after']) };
    if (status >= 300 && status < 400) {
      throw new LiteLLMError(
        'litellm_unexpected',
        `${path} redirects (${status}): this is not LiteLLM's own URL`,
        answer,
      );
    }
    // Some releases answer 500 to what they do not offer.
    if ((status < 500 && status !== 429) || isEnterpriseOnly(message)) {
      throw new LiteLLMError('litellm_refused', `LiteLLM refuses ${method} ${path}: ${status} ${message}`, answer);
    }
    throw new LiteLLMError('litellm_unavailable', `LiteLLM fails on ${method} ${path}: ${status} ${message}`, answer);
  }

  return async (request) => {
    try {
      return await (request.isRepeatable ? repeated : breaker).execute(() => attempt(request));
    } catch (error) {
      if (error instanceof TooLateError)
        throw new LiteLLMError('litellm_unavailable', 'LiteLLM did not answer in time');
      if (!(error instanceof BrokenCircuitError)) throw error;
      throw new LiteLLMError('litellm_unavailable', 'LiteLLM has failed repeatedly, and is left alone for a while');
    }
  };
}

/** Nothing was sent: whoever was to send it may have been replaced by now. */
class TooLateError extends Error {}

function isUnavailable(error: Error): boolean {
  return error instanceof LiteLLMError && error.code === 'litellm_unavailable';
}

/** A gateway in between answers for a server that does not. */
function isUnanswered(error: unknown): boolean {
  if (!(error instanceof LiteLLMError) || !error.answer.wasSent) return false;
  const { status } = error.answer;
  return status === null || status === 502 || status === 504;
}

/** A server that asks for less is not down. */
function isDown(error: Error): boolean {
  return isUnavailable(error) && (error as LiteLLMError).answer.status !== 429;
}

/** Of the error of the HTTP library only the code goes on: the rest holds the request, and so the master key. */
function unanswered(error: unknown, timeoutMs: number): LiteLLMError {
  const code = isAxiosError(error) ? error.code : undefined;
  const isLate = code === 'ECONNABORTED' || code === 'ETIMEDOUT' || code === 'ERR_CANCELED';
  const reason = isLate ? `within ${timeoutMs} ms` : `(${code ?? 'unknown error'})`;
  const answer = { wasSent: code !== 'ECONNREFUSED', status: null, type: null, param: null, retryAfterMs: null };
  return new LiteLLMError('litellm_unavailable', `LiteLLM did not answer ${reason}`, answer);
}

type Pauses = IBackoffFactory<IRetryBackoffContext<unknown>>;

/** What the server asks for, else what is usual. */
function asAsked(usual: Pauses): Pauses {
  return {
    next(context) {
      const pause = usual.next(context);
      const { result } = context;
      const askedMs =
        'error' in result && result.error instanceof LiteLLMError ? result.error.answer.retryAfterMs : null;
      return { duration: Math.min(askedMs ?? pause.duration, maxPauseMs), next: asAsked(pause).next };
    },
  };
}

function readRetryAfter(header: unknown): number | null {
  const seconds = typeof header === 'string' && header.trim() !== '' ? Number(header) : Number.NaN;
  return Number.isFinite(seconds) && seconds >= 0 ? Math.ceil(seconds * 1000) : null;
}

function versionOf(header: unknown): string | null {
  return typeof header === 'string' ? header : null;
}
