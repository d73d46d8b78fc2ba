import type { IncomingHttpHeaders } from 'node:http';
import type { JsonBody } from './request-body.ts';

/** A call of `fetch`, with what of it is looked at. */
export interface UpstreamRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** A JSON body, or the text fields of a form. */
  readonly body: unknown;
  /** The body, where it is a JSON object. */
  readonly json: JsonBody | undefined;
  readonly signal: AbortSignal | null;
  /** Sends it, with another JSON body where one is given. */
  send(body: JsonBody | undefined, signal: AbortSignal): Promise<Response>;
}

interface ReadBody {
  readonly type: string | undefined;
  readonly body: unknown;
  /** What is sent in place of a body that may be read only once. */
  readonly sent?: string;
}

const jsonType = /^\s*application\/(?:[\w.-]+\+)?json\b/i;
/** They describe the bytes of the body that was replaced. */
const bodyHeaders = ['content-length', 'content-md5', 'content-digest', 'digest'];

/** Reads what a call of `fetch` is about to send. */
export async function readUpstreamRequest(
  input: string | URL | Request,
  init: RequestInit | undefined,
): Promise<UpstreamRequest> {
  const asked = input instanceof Request ? input : undefined;
  const headers = new Headers(init?.headers ?? asked?.headers);
  const { type, body, sent } = await readBody(asked, init?.body ?? undefined, headers.get('content-type') ?? undefined);
  return {
    url: new URL(asked?.url ?? String(input)),
    method: (init?.method ?? asked?.method ?? 'GET').toUpperCase(),
    headers: { ...Object.fromEntries(headers), ...(type !== undefined && { 'content-type': type }) },
    body,
    json: type === 'multipart/form-data' ? undefined : asJson(body),
    signal: init?.signal ?? asked?.signal ?? null,
    send(other, signal) {
      if (other === undefined) return fetch(input, { ...init, ...(sent !== undefined && { body: sent }), signal });
      for (const name of bodyHeaders) headers.delete(name);
      return fetch(input, { ...init, headers, body: JSON.stringify(other), signal });
    },
  };
}

async function readBody(
  asked: Request | undefined,
  given: NonNullable<RequestInit['body']> | undefined,
  type: string | undefined,
): Promise<ReadBody> {
  // `fetch` itself writes the type of a form, with its boundary.
  if (given instanceof FormData) return { type: 'multipart/form-data', body: textFields(given) };
  if (typeof given === 'string') {
    const body = parsed(given);
    // Upstreams read JSON also where nobody has said that it is.
    return { type: type ?? (body === undefined ? undefined : 'application/json'), body };
  }
  if (type === undefined || !jsonType.test(type)) return { type, body: undefined };
  if (given === undefined) return { type, body: parsed(await asked?.clone().text()) };
  const text = await new Response(given).text();
  return { type, body: parsed(text), sent: text };
}

function textFields(form: FormData): object {
  return Object.fromEntries([...form].filter(([, value]) => typeof value === 'string'));
}

function parsed(text: string | undefined): unknown {
  if (text === undefined || text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function asJson(body: unknown): JsonBody | undefined {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as JsonBody) : undefined;
}
