import type { IncomingHttpHeaders } from 'node:http';

/** A call of `fetch`, with what of it is looked at. */
export interface UpstreamRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** The parsed body, where it is JSON. */
  readonly body: unknown;
  readonly signal: AbortSignal | null;
  /** Sends it, with another JSON body where one is given. */
  send(body: object | undefined, signal: AbortSignal | null): Promise<Response>;
}

const jsonType = /^\s*application\/(?:[\w.-]+\+)?json\b/i;
/** They describe the bytes of the body that was replaced. */
const bodyHeaders = ['content-length', 'content-md5', 'content-digest', 'digest'];

/** Reads what a call of `fetch` is about to send, without consuming it. */
export async function readUpstreamRequest(
  input: string | URL | Request,
  init: RequestInit | undefined,
): Promise<UpstreamRequest> {
  const asked = input instanceof Request ? input : undefined;
  const headers = new Headers(init?.headers ?? asked?.headers);
  const text = jsonType.test(headers.get('content-type') ?? '') ? await jsonText(asked, init) : undefined;
  return {
    url: new URL(asked?.url ?? String(input)),
    method: (init?.method ?? asked?.method ?? 'GET').toUpperCase(),
    headers: Object.fromEntries(headers),
    body: parsed(text),
    signal: init?.signal ?? asked?.signal ?? null,
    send(body, signal) {
      if (body === undefined) return fetch(input, { ...init, signal });
      for (const name of bodyHeaders) headers.delete(name);
      return fetch(input, { ...init, headers, body: JSON.stringify(body), signal });
    },
  };
}

async function jsonText(asked: Request | undefined, init: RequestInit | undefined): Promise<string | undefined> {
  const body = init?.body;
  if (body === undefined || body === null) return asked?.clone().text();
  if (typeof body === 'string') return body;
  if (body instanceof Uint8Array) return Buffer.from(body).toString();
  return undefined;
}

function parsed(text: string | undefined): unknown {
  if (text === undefined || text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
