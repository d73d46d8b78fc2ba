import { createGenerations } from '../generations.ts';
import { permissionOf } from '../keys/model-access.ts';
import { refuseUnknownOptions } from '../options.ts';
import { providerRoutes } from './provider-routes.ts';
import { type RequestPath, readRequestPath } from './request-path.ts';
import type { Route, RouteEntry } from './route.ts';

/** A route that fits a request, and what its path says. */
export interface RouteMatch {
  readonly route: Route;
  /** The model named in the path, in its own case. */
  readonly model: string | null;
  /** The path as lists of endpoints name it: with the version of the table, without what the app mounts it under. */
  readonly endpointPath: string;
}

/** Where a request goes. */
export interface LocatedRequest {
  readonly path: RequestPath;
  /** `undefined`: the endpoint is not in the table. */
  readonly match: RouteMatch | undefined;
}

export interface RouteTable {
  /** Where a request target goes under a method; `undefined`: its path may be taken for different ones. */
  locate(method: string, target: string): LocatedRequest | undefined;
  /** The route of this path under any method: enough to know the dialect of a refusal. */
  findByPath(path: RequestPath): RouteMatch | undefined;
}

interface Pattern {
  readonly route: Route;
  readonly version: string | null;
  readonly parts: readonly Part[];
}

/** A segment: all of it is `ending`, or with a name, any text before `ending`. */
interface Part {
  readonly name: string | null;
  readonly ending: string;
}

/** Most requests of an app are for a few paths: these are read and looked up once. */
const maxLocated = 1000;
const maxLocatedLength = 200;

const versionShape = /^v\d+(?:(?:alpha|beta)\d*)?$/;
const partShape = /^\{(\w+)\}([^{}]*)$/;

/**
 * The one table that decides what a request is: endpoint, source of the model, permission, meter, dialect. Rows of the
 * app come before those of the package.
 *
 * A row is matched by whole segments at the end of a path, since apps mount these routes where they like: at `/`, `/v1`
 * or `/api/llm/v1`. Where the path has a version (`v1`, `v1beta`), the row must follow right after one: of
 * `/v1/files/embeddings` only the end looks like embeddings.
 *
 * @throws TypeError naming the row and the field that are of no use
 */
export function createRouteTable(extra: readonly RouteEntry[] = []): RouteTable {
  if (!Array.isArray(extra)) throw new TypeError('requireModelAccess: routes must be a list of routes');
  const patterns = [...extra.map(checkedEntry), ...providerRoutes].map(compile);
  // Longer rows first: `/deployments/{model}/chat/completions` ends like `/chat/completions`. The sort is stable.
  patterns.sort((a, b) => b.parts.length - a.parts.length);

  function search(path: RequestPath, fits: (route: Route) => boolean): RouteMatch | undefined {
    let found: { pattern: Pattern; at: number } | undefined;
    for (const pattern of patterns) {
      if (found !== undefined && pattern.parts.length < found.pattern.parts.length) break;
      const at = path.segments.length - pattern.parts.length;
      if (!fits(pattern.route) || !endsWith(path.segments, pattern.parts, at) || !mayBegin(path.segments, at)) continue;
      if (at > 0 && pattern.version === path.segments[at - 1]) return matched(pattern, path, at);
      found ??= { pattern, at };
    }
    return found && matched(found.pattern, path, found.at);
  }

  const located = createGenerations<LocatedRequest>({ maxSize: maxLocated });

  return {
    locate(method, target) {
      const name = `${method} ${target}`;
      const known = located.get(name);
      if (known !== undefined) return known;
      const path = readRequestPath(target);
      if (path === undefined) return undefined;
      const found = { path, match: search(path, ({ methods }) => methods.includes(method)) };
      // A query may have a secret in it.
      if (name.length <= maxLocatedLength && !target.includes('?')) located.set(name, found, 0);
      return found;
    },
    findByPath: (path) => search(path, () => true),
  };
}

function matched({ route, parts, version }: Pattern, { segments, originals }: RequestPath, at: number): RouteMatch {
  const named = parts.findIndex(({ name }) => name === 'model');
  const whole = originals[at + named];
  const model =
    whole === undefined || named < 0 ? null : whole.slice(0, whole.length - (parts[named]?.ending.length ?? 0));
  const isAlias = route.endpoint !== route.path;
  const tail = [...(version === null ? [] : [version]), ...segments.slice(at)];
  return { route, model, endpointPath: isAlias ? route.endpoint : `/${tail.join('/')}` };
}

function endsWith(segments: readonly string[], parts: readonly Part[], at: number): boolean {
  if (at < 0) return false;
  for (let index = parts.length - 1; index >= 0; index -= 1) {
    const segment = segments[at + index];
    const part = parts[index];
    if (segment === undefined || part === undefined) return false;
    const fits =
      part.name === null
        ? segment === part.ending
        : segment.length > part.ending.length && segment.endsWith(part.ending);
    if (!fits) return false;
  }
  return true;
}

/** Whether a row may begin at this segment: right after a version, or in a path that has none before. */
function mayBegin(segments: readonly string[], at: number): boolean {
  if (at > 0 && versionShape.test(segments[at - 1] ?? '')) return true;
  return !segments.slice(0, at).some((segment) => versionShape.test(segment));
}

function compile(entry: (typeof providerRoutes)[number]): Pattern {
  const [first = '', ...rest] = entry.path.slice(1).split('/');
  const isVersioned = versionShape.test(first);
  const parts = (isVersioned ? rest : [first, ...rest]).map(readPart);
  const { endpoint = entry.path, methods = ['POST'], model = 'body' } = entry;
  const route: Route = {
    path: entry.path,
    endpoint,
    methods: methods.includes('GET') ? [...methods, 'HEAD'] : methods,
    model,
    modelField: entry.modelField ?? 'model',
    body: entry.body ?? (model === 'none' ? 'none' : 'json'),
    permission: entry.permission === undefined ? permissionOf(endpoint) : entry.permission,
    format: entry.format ?? 'none',
    output: entry.output ?? 'text',
    dialect: entry.dialect === undefined ? 'openai' : entry.dialect,
    streams: entry.streams ?? 'never',
    usageOnRequest: entry.usageOnRequest ?? false,
    metered: entry.metered ?? true,
  };
  return { route, version: isVersioned ? first : null, parts };
}

function readPart(segment: string): Part {
  const [, name, ending = ''] = partShape.exec(segment) ?? [];
  return name === undefined ? { name: null, ending: segment.toLowerCase() } : { name, ending: ending.toLowerCase() };
}

const entryFields = [
  ...['path', 'endpoint', 'methods', 'model', 'modelField', 'body', 'permission', 'format', 'output', 'dialect'],
  ...['streams', 'usageOnRequest'],
];

function checkedEntry(entry: RouteEntry): RouteEntry {
  const where = 'requireModelAccess: routes';
  if (typeof entry !== 'object' || entry === null) throw new TypeError(`${where}: each must be an object with a path`);
  refuseUnknownOptions(where, entry, entryFields);
  const { path, model, methods } = entry;
  if (typeof path !== 'string' || !/^(\/[^/?#]+)+$/.test(path)) {
    throw new TypeError(`${where}: path must be like /v1/rerank, not ${JSON.stringify(path)}`);
  }
  if (methods !== undefined && !(Array.isArray(methods) && methods.every((method) => /^[A-Z]+$/.test(method)))) {
    throw new TypeError(`${where}: methods of ${path} must be a list such as ['POST']`);
  }
  if (model === 'path' && !path.includes('{model}')) {
    throw new TypeError(`${where}: ${path} has its model in the path, so it must contain {model}`);
  }
  return entry;
}
