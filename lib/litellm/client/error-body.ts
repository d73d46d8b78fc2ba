/** What an error of LiteLLM says, whichever of its three envelopes it came in. */
export interface ErrorBody {
  readonly type: string | null;
  readonly param: string | null;
  readonly message: string;
}

const maxMessageLength = 500;

/**
 * Reads `{error: {message, type, param, code}}`, `{detail: text | {error}}` and the list of problems that comes with 422.
 * Of those problems only the places are told: older releases repeat there what was sent. Secrets, tokens and the key that
 * was sent along are blotted out.
 */
export function readErrorBody(body: unknown, sentKey: string): ErrorBody {
  const { error, detail } = isObject(body) ? body : {};
  const text = (value: unknown) => discreet(value, sentKey);
  /** `None` is how Python writes nothing. */
  const word = (value: unknown) => (typeof value === 'string' && value !== '' && value !== 'None' ? text(value) : null);
  if (isObject(error)) {
    return { type: word(error.type), param: word(error.param), message: text(error.message) };
  }
  if (Array.isArray(detail)) {
    const problems = detail.filter(isObject).map(({ loc, type }) => `${place(loc)} (${text(type)})`);
    return { type: null, param: null, message: text(`invalid: ${problems.join(', ')}`) };
  }
  const told = isObject(detail) ? (detail.error ?? detail.message) : (detail ?? error);
  return { type: null, param: null, message: text(told) };
}

/** The one text that has to be looked at: what only the Enterprise edition does is refused under several statuses. */
export function isEnterpriseOnly(message: string): boolean {
  return /\benterprise\b/i.test(message);
}

function discreet(value: unknown, sentKey: string): string {
  if (typeof value !== 'string') return 'no message';
  return unwrapPythonText(value)
    .replaceAll(sentKey, '…')
    .replace(/\bsk-[\w.-]+/g, 'sk-…')
    .replace(/\b[0-9a-f]{64}\b/gi, '…')
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, maxMessageLength);
}

/** `{'error': 'No keys found'}` → `No keys found`: a dict that Python printed, with one text in it. */
function unwrapPythonText(message: string): string {
  const dict = /^\{'(?:error|message)': (?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\}$/su.exec(message.trim());
  const inner = dict?.[1] ?? dict?.[2];
  return inner === undefined ? message : inner.replace(/\\(['"\\])/g, '$1').replace(/\\n/g, ' ');
}

function place(loc: unknown): string {
  return Array.isArray(loc) ? loc.map(String).join('.') : 'body';
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
