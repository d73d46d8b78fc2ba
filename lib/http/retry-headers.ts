/** The longest that a client is asked to wait and try again: a minute window's longest wait, on its grid of seconds. */
const longestRetryMs = 61_000;
/** OpenAI's client ignores a `Retry-After` above this, and tries again at once. */
const longestToldMs = 60_000;

export type RetryHeaders = Readonly<Record<string, string>>;

/** Tells every client that trying again is of no use. Without it they sleep on `Retry-After`, however long it is. */
const noRetry = { 'x-should-retry': 'false' };

/**
 * Tells clients when to try again, or not to. A short wait is told in seconds (RFC 9110 §10.2.3) and milliseconds, both
 * at most a minute; of a long one the end is told, and that no client should wait for it.
 *
 * @param retryAfterMs `null`: no wait will help
 */
export function retryHeaders(retryAfterMs: number | null): RetryHeaders {
  if (retryAfterMs === null || retryAfterMs > longestRetryMs) return finalHeaders(retryAfterMs);
  const toldMs = Math.min(longestToldMs, Math.max(1, Math.ceil(retryAfterMs)));
  // 0 makes clients try again at once, without their own backoff.
  return { 'Retry-After': wholeSeconds(toldMs), 'retry-after-ms': String(toldMs) };
}

/** As {@link retryHeaders}, of a refusal that no client should try again, however short the wait. */
export function finalHeaders(retryAfterMs: number | null): RetryHeaders {
  return retryAfterMs === null ? noRetry : { 'Retry-After': wholeSeconds(retryAfterMs), ...noRetry };
}

function wholeSeconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)));
}
