import { connect } from 'node:net';

/** An answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number;
  /** By name in lower case; repeated ones are joined. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface RawExchange {
  /** So many answers are waited for, unless the server closes before. */
  readonly answers: number;
  /** The client stops sending after the bytes, as one that has crashed does. */
  readonly leaves?: boolean;
  /** The answers are to HEAD: none has a body, whatever length it tells. */
  readonly isHead?: boolean;
  readonly patienceMs?: number;
}

/** Sends bytes as they are over a connection of their own, and reads the answers to them. */
export function exchange(
  port: number,
  bytes: Buffer,
  { answers, leaves = false, isHead = false, patienceMs = 5000 }: RawExchange,
): Promise<readonly RawAnswer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const received: Buffer[] = [];
    let read: readonly RawAnswer[] = [];
    const finish = () => {
      socket.destroy();
      resolve(read);
    };
    socket.setTimeout(patienceMs, () => {
      socket.destroy();
      reject(new Error(`No answer to ${JSON.stringify(bytes.toString('latin1').slice(0, 400))}`));
    });
    socket.on('data', (chunk) => {
      received.push(chunk);
      read = readAnswers(Buffer.concat(received).toString('latin1'), isHead, false);
      if (read.length >= answers) finish();
    });
    // Resets are how servers close on clients that go on sending.
    socket.once('error', finish);
    socket.once('close', () => {
      read = readAnswers(Buffer.concat(received).toString('latin1'), isHead, true);
      finish();
    });
    socket.write(bytes, () => {
      if (leaves) socket.destroy();
    });
  });
}

function readAnswers(text: string, isHead: boolean, isClosed: boolean): readonly RawAnswer[] {
  const answers: RawAnswer[] = [];
  let at = 0;
  while (at < text.length) {
    const headEnd = text.indexOf('\r\n\r\n', at);
    if (headEnd < 0) break;
    const [statusLine = '', ...lines] = text.slice(at, headEnd).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
    const headers = headersOf(lines);
    const bodyStart = headEnd + 4;
    const hasBody = !isHead && status >= 200 && status !== 204 && status !== 304;
    const body = hasBody ? bodyAt(text, bodyStart, headers, isClosed) : { text: '', end: bodyStart };
    if (body === undefined) break;
    at = body.end;
    if (status >= 200) answers.push({ status, headers, body: Buffer.from(body.text, 'latin1').toString() });
  }
  return answers;
}

function headersOf(lines: readonly string[]): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value);
  }
  return headers;
}

function bodyAt(
  text: string,
  start: number,
  headers: ReadonlyMap<string, string>,
  isClosed: boolean,
): { readonly text: string; readonly end: number } | undefined {
  if (headers.get('transfer-encoding') === 'chunked') return chunkedBody(text, start);
  const length = headers.get('content-length');
  if (length === undefined) return isClosed ? { text: text.slice(start), end: text.length } : undefined;
  const end = start + Number(length);
  return end <= text.length ? { text: text.slice(start, end), end } : undefined;
}

function chunkedBody(text: string, start: number): { readonly text: string; readonly end: number } | undefined {
  let body = '';
  let at = start;
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    const end = lineEnd + 2 + size + 2;
    if (end > text.length) return undefined;
    if (size === 0) return { text: body, end };
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = end;
  }
}
