import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isObject, parseJson } from '../../usage/formats/json.ts';

/** A request that the echo model has seen. */
export interface EchoRequest {
  readonly method: string;
  /** Path and query, with what the model is mounted under. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Parsed, where it was JSON. */
  readonly body: unknown;
  /** `broken_off`: the client has left before the end, or a fault has cut the answer. */
  readonly outcome: 'open' | 'answered' | 'broken_off';
}

const maxBodyBytes = 64 * 1024 * 1024;

/** What Express and body parsers add. */
interface MountedRequest extends IncomingMessage {
  /** The whole target, where `url` lacks what the handler is mounted under. */
  readonly originalUrl?: string;
  readonly body?: unknown;
}

/** Path and query, with whatever the model is mounted under. */
export function targetOf({ originalUrl, url = '/' }: Pick<MountedRequest, 'originalUrl' | 'url'>): URL {
  const target = originalUrl ?? url;
  // Only the path and the query are used. `//` would begin a host.
  return new URL(target.startsWith('//') ? target.slice(1) : target, 'http://echo');
}

/**
 * The body, as a parser before has left it or as it is read now. What is not JSON stays a text.
 *
 * @throws RangeError for more than 64 MiB
 */
export async function readBody(request: MountedRequest): Promise<unknown> {
  const { body } = request;
  if (body !== undefined && !Buffer.isBuffer(body) && typeof body !== 'string') return body;
  const text = body === undefined ? await readText(request) : String(body);
  return text === '' ? undefined : (parseJson(text) ?? text);
}

/** The fields of a JSON body; of any other body there are none. */
export function fieldsOf(body: unknown): { readonly [field: string]: unknown } {
  return isObject(body) ? body : {};
}

async function readText(request: IncomingMessage): Promise<string> {
  // A parser that has read the stream and left nothing had nothing to parse.
  if (request.readableEnded) return '';
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new RangeError('The body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
