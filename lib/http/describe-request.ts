import type { IncomingHttpHeaders } from 'node:http';
import { isModelName } from '../keys/model-access.ts';
import { isObject, type JsonObject } from '../usage/formats/json.ts';
import { readBodyModels, repeatedModels, withoutCollection } from './model-names.ts';
import type { Refusal } from './refusal.ts';
import { hasBody } from './request-body.ts';
import type { DescribedRoute, Route } from './route.ts';
import type { RouteMatch, RouteTable } from './route-table.ts';

/** What of a request is looked at. `url` is the whole target, as it came: Express's `originalUrl`. */
export interface RequestFacts {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** What a body parser made of the body; `undefined`: none has run. */
  readonly body: unknown;
  /**
   * The model as the app itself knows it. Then it is the one source: path, body and header are not asked, only the
   * alternatives in the body are.
   */
  readonly givenModel?: string | undefined;
}

/** What a request is. */
export type RequestDescription =
  | ({ readonly kind: 'described' } & DescribedRoute)
  /** No row of the table fits: the endpoint is not known. */
  | { readonly kind: 'unlisted'; readonly path: string }
  /** The body is JSON and nobody has parsed it: a mistake of the app, not of the client. */
  | { readonly kind: 'unparsed'; readonly route: Route }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/**
 * Tells what a request is by the one table of routes: its endpoint and its model, from the one place where the route has
 * it. Names that contradict each other are refused, since whoever is behind this package may read the other one.
 */
export function describeRequest(table: RouteTable, facts: RequestFacts): RequestDescription {
  const located = table.locate(facts.method, facts.url);
  if (located === undefined) return refused({ kind: 'invalid_path' });
  const { path, match } = located;
  if (match === undefined) return { kind: 'unlisted', path: path.path };
  const { route, endpointPath } = match;
  if (!route.metered) return refused({ kind: 'not_metered', what: 'A batch', param: null });

  const body = readBody(route, facts);
  if (body === 'unparsed') return { kind: 'unparsed', route };
  if ('refusal' in body) return refused(body.refusal);
  const named = route.model === 'none' ? noModels : readModels(match, body, facts);
  if ('refusal' in named) return refused(named.refusal);
  const { fields } = body;
  if (isInBackground(route, fields)) {
    return refused({ kind: 'not_metered', what: 'A background response', param: 'background' });
  }
  const streams = route.streams === 'always' || (route.streams === 'body' && fields.stream === true);
  return { kind: 'described', route, path: path.path, endpointPath, ...named, streams };
}

type Models = Pick<DescribedRoute, 'model' | 'models' | 'modelFrom'>;
type Refused = { readonly refusal: Refusal };

const noModels: Models = { model: null, models: [], modelFrom: null };

function readModels(match: RouteMatch, { fields, isJson }: Body, facts: RequestFacts): Models | Refused {
  const named = readBodyModels(fields, match.route.modelField);
  if ('refusal' in named) return named;
  if (facts.givenModel !== undefined) return modelsOf(facts.givenModel, named.alternatives, 'option');
  if (match.route.model === 'path') return modelsOfPath(match, fields, named.alternatives);
  if (named.model !== null) return modelsOf(named.model, named.alternatives, 'body');
  // Whether a multipart body names one is only known to whoever reads it all, which may come after us.
  const preferred = isJson ? facts.headers['x-preferred-model'] : undefined;
  if (preferred === undefined) return { refusal: { kind: 'model_required' } };
  return modelsOf(preferred, named.alternatives, 'header');
}

function modelsOfPath(match: RouteMatch, fields: JsonObject, alternatives: readonly string[]): Models | Refused {
  const { [match.route.modelField]: own } = fields;
  const repeated = own === undefined ? repeatedModels(fields) : [own, ...repeatedModels(fields)];
  if (repeated.some((name) => withoutCollection(name) !== match.model)) return { refusal: { kind: 'model_conflict' } };
  return modelsOf(match.model, alternatives, 'path');
}

function modelsOf(model: unknown, alternatives: readonly string[], from: Models['modelFrom']): Models | Refused {
  if (isModelName(model)) return { model, models: [...new Set([model, ...alternatives])], modelFrom: from };
  const problem = 'The model must have a name of 1 to 256 printable characters.';
  return { refusal: { kind: 'invalid_body', problem, param: 'model' } };
}

interface Body {
  /** Empty where there is no body, and where a multipart body was not parsed. */
  readonly fields: JsonObject;
  readonly isJson: boolean;
}

const jsonType = /^\s*application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;
const multipartType = /^\s*multipart\/form-data\s*(?:;|$)/i;

function readBody(route: Route, { headers, body }: RequestFacts): Body | Refused | 'unparsed' {
  if (route.body === 'none' || (body === undefined && !hasBody(headers))) return { fields: {}, isJson: true };
  const type = headers['content-type'] ?? '';
  if (route.body === 'multipart' && multipartType.test(type)) {
    return { fields: isObject(body) && !Buffer.isBuffer(body) ? body : {}, isJson: false };
  }
  if (!jsonType.test(type)) {
    // A parser may leave an empty object behind where there was nothing to parse.
    if (!hasBody(headers)) return { fields: {}, isJson: true };
    const expected = route.body === 'multipart' ? 'multipart/form-data or application/json' : 'application/json';
    return { refusal: { kind: 'media_type', expected } };
  }
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) return 'unparsed';
  if (isObject(body)) {
    if (!isDeeper(body, maxDepth)) return { fields: body, isJson: true };
    const problem = `The body must not be nested deeper than ${maxDepth} levels.`;
    return { refusal: { kind: 'invalid_body', problem, param: null } };
  }
  return { refusal: { kind: 'invalid_body', problem: 'The body must be a JSON object.', param: null } };
}

/** Parsers read any depth, and `JSON.stringify`, by which bodies are passed on, overflows the stack at some thousands. */
const maxDepth = 256;

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) return value.some((part) => isDeeper(part, levels - 1));
  // A list of all values would double the time that a million fields take.
  if (isObject(value)) for (const field in value) if (isDeeper(value[field], levels - 1)) return true;
  return false;
}

/** The usage of a background response comes with a later request, which names no model and has no price. */
function isInBackground({ format }: Route, { background }: JsonObject): boolean {
  return format === 'openai-responses' && background !== undefined && background !== null && background !== false;
}

function refused(refusal: Refusal): RequestDescription {
  return { kind: 'refused', refusal };
}
