import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { listen } from '../listen.ts';

/** A request that may change a key, when it arrived, and what came of it. */
export interface RecordedWrite {
  readonly path: string;
  readonly body: { readonly [name: string]: unknown };
  /** `null`: it was not answered, or not passed on. */
  status: number | null;
}

export interface RecordingProxy {
  readonly url: string;
  /** In the order of their arrival. */
  readonly writes: readonly RecordedWrite[];
  /** Breaks all connections, those whose request was passed on as well, and takes no new ones until `restart`. */
  kill(): void;
  restart(): void;
  close(): Promise<void>;
}

/** Passes requests on to LiteLLM, and writes down what they change. `onWrite` sees each before it is passed on. */
export async function recordingProxy(
  target: string,
  onWrite: (write: RecordedWrite) => Promise<void>,
): Promise<RecordingProxy> {
  const writes: RecordedWrite[] = [];
  const sockets = new Set<Socket>();
  let isDead = false;

  async function pass(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const { method = 'GET', url = '/', headers } = req;
    const write: RecordedWrite | undefined = /^\/key\/(generate|update|block|unblock|delete)$/.test(url)
      ? { path: url, body: JSON.parse(text), status: null }
      : undefined;
    if (write !== undefined) {
      writes.push(write);
      await onWrite(write);
    }
    if (req.socket.destroyed) return;
    const response = await fetch(target + url, {
      method,
      headers: { authorization: headers.authorization ?? '', 'content-type': 'application/json' },
      ...(method === 'GET' ? {} : { body: text }),
    });
    const answer = await response.text();
    if (write !== undefined) write.status = response.status;
    res.writeHead(response.status, { 'content-type': 'application/json' }).end(answer);
  }

  const server = await listen((req, res) => {
    if (isDead) {
      req.socket.destroy();
      return;
    }
    if (!sockets.has(req.socket)) req.socket.once('close', () => sockets.delete(req.socket));
    sockets.add(req.socket);
    pass(req, res).catch(() => res.destroy());
  });

  return {
    url: server.url,
    writes,
    kill() {
      isDead = true;
      for (const socket of sockets) socket.destroy();
    },
    restart() {
      isDead = false;
    },
    close: server.close,
  };
}
