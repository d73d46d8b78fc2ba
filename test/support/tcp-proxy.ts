import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * What the proxy does with traffic: `cut` refuses; `stall` and `halfOpen` leave open connections without an answer, and
 * a half-open one does not even reach the server; `dropReplies` lets the server act and loses what it says.
 */
export type TcpFault =
  | { readonly type: 'none' | 'cut' | 'stall' | 'halfOpen' | 'dropReplies' }
  | { readonly type: 'slow'; readonly delayMs: number }
  /** `dropReplies` from the next request on that contains this text. */
  | { readonly type: 'dropRepliesTo'; readonly request: string };

/** A way to a server on the loopback, with faults. */
export interface TcpProxy {
  readonly port: number;
  /** From now on; `cut` ends open connections, too. What was stalled flows on with `none`; what was dropped is lost. */
  fail(fault: TcpFault): void;
  heal(): void;
  /** Where new connections lead, such as to a replica that took over. */
  retarget(port: number): void;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  /** Not there while half-open. */
  readonly server: Socket | undefined;
  /** Passes on what waits, as far as the fault lets it. */
  flush(): void;
}

/** Listens on a port of its own and passes connections on to the target. */
export async function tcpProxy(targetPort: number): Promise<TcpProxy> {
  let target = targetPort;
  let fault: TcpFault = { type: 'none' };
  const pairs = new Set<Pair>();

  const listener = createServer((client) => {
    client.on('error', () => undefined);
    if (fault.type === 'cut') {
      client.destroy();
      return;
    }
    const server = fault.type === 'halfOpen' ? undefined : connect(target, '127.0.0.1');
    const ways = server === undefined ? [] : [pass(client, server, false), pass(server, client, true)];
    const pair: Pair = {
      client,
      server,
      flush: () => {
        for (const flush of ways) flush();
      },
    };
    pairs.add(pair);
    client.on('close', () => {
      server?.destroy();
      pairs.delete(pair);
    });
    if (server === undefined) client.resume();
    server?.on('error', () => undefined).on('close', () => client.destroy());
  });

  /** Chunks keep their order, also where a fault begins or ends between two. */
  function pass(from: Socket, to: Socket, isReply: boolean): () => void {
    const waiting: { chunk: Buffer; dueMs: number }[] = [];
    function flush(): void {
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        if (fault.type === 'stall' || fault.type === 'halfOpen') return;
        const leftMs = next.dueMs - performance.now();
        if (fault.type === 'slow' && leftMs > 0) {
          setTimeout(flush, leftMs);
          return;
        }
        waiting.shift();
        to.write(next.chunk);
      }
    }
    from.on('data', (chunk: Buffer) => {
      if (isReply && fault.type === 'dropReplies') return;
      if (!isReply && fault.type === 'dropRepliesTo' && chunk.includes(fault.request)) fault = { type: 'dropReplies' };
      waiting.push({ chunk, dueMs: performance.now() + (fault.type === 'slow' ? fault.delayMs : 0) });
      flush();
    });
    return flush;
  }

  function fail(next: TcpFault): void {
    fault = next;
    for (const { client, server, flush } of pairs) {
      if (next.type === 'cut') client.destroy();
      // Nobody will answer a connection that was accepted half-open.
      else if (server === undefined && next.type !== 'halfOpen') client.destroy();
      else flush();
    }
  }

  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  // A server that listens on a port has an address with one.
  const { port } = listener.address() as AddressInfo;
  return {
    port,
    fail,
    heal: () => fail({ type: 'none' }),
    retarget(next) {
      target = next;
    },
    async close() {
      listener.close();
      for (const { client } of pairs) client.destroy();
      await once(listener, 'close');
    },
  };
}
