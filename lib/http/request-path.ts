/** The path of a request, ready to be compared. */
export interface RequestPath {
  /** Lower case, decoded once, without a slash at the end: `/v1/chat/completions`. */
  readonly path: string;
  /** The parts between slashes in lower case, for matching. */
  readonly segments: readonly string[];
  /** The same parts in the case they came in: a model may be among them. */
  readonly originals: readonly string[];
}

/** Scheme and authority of a request target in absolute form (RFC 9112 §3.2.2). */
const origin = /^https?:\/\/[^/?#]*/i;

/**
 * Reads the path of a request target. `undefined` where a proxy, a router and this package might take it for different
 * paths: dot segments, empty segments, encoded or backward slashes, control characters, broken percent signs.
 */
export function readRequestPath(url: string): RequestPath | undefined {
  const target = url.startsWith('/') ? url : url.replace(origin, '');
  const path = target.slice(0, endOfPath(target));
  if (path === '/' || (path === '' && target !== url)) return { path: '/', segments: [], originals: [] };
  if (!path.startsWith('/')) return undefined;
  const originals: string[] = [];
  for (const segment of path.slice(1, path.endsWith('/') ? -1 : undefined).split('/')) {
    const decoded = segment.includes('%') ? decode(segment) : segment;
    if (decoded === undefined || !isPlain(decoded)) return undefined;
    originals.push(decoded);
  }
  const segments = originals.map((segment) => segment.toLowerCase());
  return { path: `/${segments.join('/')}`, segments, originals };
}

function endOfPath(target: string): number {
  const end = target.search(/[?#]/);
  return end < 0 ? target.length : end;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

function isPlain(segment: string): boolean {
  // A slash can only have come from %2f: the path was split at the others.
  return segment !== '' && segment !== '.' && segment !== '..' && !/[/\\\p{Cc}]/u.test(segment);
}
