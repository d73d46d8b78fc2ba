import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A request as it goes over the wire, for what clients correct before they send it. */
export interface RawRequest {
  readonly method?: string;
  /** Sent as it is. */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Opens a connection and sends a request; the connection is the caller's to end. */
function sendRaw(url: string, { method = 'GET', target, headers = {}, body = '' }: RawRequest): Socket {
  const { hostname, port, host } = new URL(url);
  const lines = Object.entries({ host, 'content-length': String(Buffer.byteLength(body)), ...headers });
  const socket = connect(Number(port), hostname);
  socket.write(
    `${method} ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`,
  );
  return socket;
}

/** The status of the answer to a request. */
export async function rawStatus(url: string, request: RawRequest): Promise<number> {
  const socket = sendRaw(url, request);
  const [head] = await once(socket, 'data');
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(String(head))?.[1]);
}
