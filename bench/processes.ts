import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { AskedAdmissions, DoneAdmissions } from './admitting-process.ts';
import type { Load, LoadResult } from './load-process.ts';
import type { ServerState } from './server-process.ts';
import type { ServerName } from './servers.ts';
import type { Side } from './sides.ts';

/** A server in a process of its own. */
export interface RunningServer {
  readonly name: string;
  readonly port: number;
  readonly headers: { readonly [name: string]: string };
  state(): Promise<Pick<ServerState, 'cpuUs' | 'settled'>>;
  stop(): void;
}

/** Puts load on a server, from a process of its own. */
export interface LoadGenerator {
  run(load: Load): Promise<LoadResult>;
  stop(): void;
}

export async function startServer(name: ServerName, upstreamPort = 0): Promise<RunningServer> {
  const child = start('server-process.js', [name, String(upstreamPort)]);
  const [{ port, headers }] = (await once(child, 'message')) as [ServerState];
  return {
    name,
    port,
    headers,
    async state() {
      child.send('state');
      const [state] = (await once(child, 'message')) as [ServerState];
      return state;
    },
    stop: () => child.kill(),
  };
}

export function startLoadGenerator(): LoadGenerator {
  const child = start('load-process.js', []);
  return {
    async run(load) {
      child.send(load);
      const [result] = (await once(child, 'message')) as [LoadResult];
      return result;
    },
    stop: () => child.kill(),
  };
}

/** One of several processes that admit calls of the same keys. */
export interface AdmittingProcess {
  admit(asked: AskedAdmissions): Promise<DoneAdmissions>;
  stop(): void;
}

export async function startAdmitting(side: Side, url: string, keyIds: readonly string[]): Promise<AdmittingProcess> {
  const child = start('admitting-process.js', [side, url, keyIds.join()]);
  await once(child, 'message');
  return {
    async admit(asked) {
      child.send(asked);
      const [done] = (await once(child, 'message')) as [DoneAdmissions];
      return done;
    },
    stop: () => child.kill(),
  };
}

/** A way to a port that may be told to take longer. */
export interface Proxy {
  readonly port: number;
  /** For whatever is sent from now on, each way. */
  delay(delayMs: number): Promise<void>;
  stop(): void;
}

export async function startProxy(targetPort: number): Promise<Proxy> {
  const child = start('tcp-proxy-process.js', [String(targetPort)]);
  const [port] = (await once(child, 'message')) as [number];
  return {
    port,
    async delay(delayMs) {
      child.send(delayMs);
      await once(child, 'message');
    },
    stop: () => child.kill(),
  };
}

/** None of them outlives a bench, also not one that fails. */
const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill();
});

function start(file: string, args: readonly string[]): ChildProcess {
  // What servers print, such as a banner, is no part of the report.
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  children.add(child);
  child.once('exit', (code) => {
    if (code === null) return;
    child.emit('error', new Error(`${file} ${args[0]} ended with ${code}`));
  });
  return child;
}
