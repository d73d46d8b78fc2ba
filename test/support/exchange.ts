import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { collect } from './collect.ts';

interface Exchange {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  /** The bytes of the body as they came, not decoded. */
  readonly body: Buffer;
}

interface ExchangeOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: object;
}

/** Sends a request and answers once the head of the response has come; its body is the caller's to read. */
export async function open(url: string, { method = 'POST', headers, json }: ExchangeOptions): Promise<IncomingMessage> {
  const options: RequestOptions = {
    method,
    agent: false,
    headers: { ...(json !== undefined && { 'content-type': 'application/json' }), ...headers },
  };
  const outgoing = request(url, options);
  outgoing.end(json === undefined ? undefined : JSON.stringify(json));
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return response;
}

/** Sends a request and reads all of the response, byte by byte as it is sent. */
export async function exchange(url: string, options: ExchangeOptions): Promise<Exchange> {
  const response = await open(url, options);
  const body = Buffer.concat(await collect<Buffer>(response));
  return { status: response.statusCode, headers: response.headers, body };
}
