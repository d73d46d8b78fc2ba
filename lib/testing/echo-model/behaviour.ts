import { refuseUnknownOptions } from '../../options.ts';
import { isObject, parseJson } from '../../usage/formats/json.ts';

/** How the echo model answers a request, where it is not to answer as a good upstream would. */
export interface EchoBehaviour {
  /** What is answered instead of the last message of the user. */
  readonly reply?: string | undefined;
  /** Before anything is sent. */
  readonly delayMs?: number | undefined;
  /** Between one chunk and the next. */
  readonly chunkDelayMs?: number | undefined;
  /** Sends the body in chunks of so many bytes: 1 splits it everywhere. @defaultValue one event of a stream a chunk */
  readonly chunkBytes?: number | undefined;
  /** Answers with an error of this status, 400 to 599, in the dialect of the route. */
  readonly status?: number | undefined;
  /** Further headers of the answer, such as `{ 'retry-after': '1' }`. */
  readonly headers?: { readonly [name: string]: string } | undefined;
  /** What the answer tells of its usage: nothing, or other counts than the true ones. */
  readonly usage?: 'none' | EchoUsage | undefined;
  /**
   * How a stream ends too early: `abort` destroys the connection, `truncate` ends the body as if it were whole, `stall`
   * sends nothing more and keeps the connection open, `error_frame` tells an error as the provider does, and ends. Of an
   * answer that is no stream, one half is sent; it knows no `error_frame`.
   */
  readonly fault?: 'abort' | 'truncate' | 'stall' | 'error_frame' | undefined;
  /** So many events of the stream come before the fault, at most all but the last. @defaultValue 2 */
  readonly faultAfter?: number | undefined;
}

export interface EchoUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** The header by which one request sets its {@link EchoBehaviour}, as JSON. It wins over what the model was made with. */
export const behaviourHeader = 'x-echo-behaviour';

type Checks = { readonly [field in keyof Required<EchoBehaviour>]: (value: unknown) => boolean };

const faults: readonly unknown[] = ['abort', 'truncate', 'stall', 'error_frame'];

const checks: Checks = {
  reply: (value) => typeof value === 'string',
  delayMs: isAmount,
  chunkDelayMs: isAmount,
  chunkBytes: (value) => isAmount(value) && value >= 1,
  status: (value) => isAmount(value) && value >= 400 && value <= 599,
  headers: (value) => isObject(value) && Object.values(value).every((header) => typeof header === 'string'),
  // The counts may be absurd, but not absent.
  usage: (value) => value === 'none' || (isObject(value) && 'inputTokens' in value && 'outputTokens' in value),
  fault: (value) => faults.includes(value),
  faultAfter: isAmount,
};

/** @throws TypeError naming the field that is unknown or of no use */
export function checkBehaviour(where: string, given: unknown): EchoBehaviour {
  if (!isObject(given)) throw new TypeError(`${where}: the behaviour must be an object, or the JSON of one`);
  refuseUnknownOptions(where, given, Object.keys(checks));
  for (const [field, isFit] of Object.entries(checks)) {
    const value = given[field];
    if (value !== undefined && !isFit(value))
      throw new TypeError(`${where}: ${field} cannot be ${JSON.stringify(value)}`);
  }
  return given;
}

/** The behaviour that a request asks for in its header, or what is wrong with the header. */
export function behaviourOfHeader(
  header: string | readonly string[] | undefined,
): { readonly behaviour: EchoBehaviour } | { readonly problem: string } {
  if (header === undefined) return { behaviour: {} };
  try {
    return { behaviour: checkBehaviour(behaviourHeader, parseJson(String(header))) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
