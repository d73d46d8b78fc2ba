import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ActInput, ActName, ActOutput } from './acts/acts.ts';
import type { Order, Reply } from './messages.ts';
import type { StationSettings } from './station.ts';
import type { StoreAddress } from './store-address.ts';
import { remoteKeys, type Worker } from './worker.ts';

/** A worker in a process of its own, which ends with this one at the latest. */
export interface ProcessWorker extends Worker {
  readonly pid: number;
  readonly isAlive: boolean;
  open(address: StoreAddress, settings: StationSettings, beginAtMs: number): Promise<void>;
  close(): Promise<void>;
  /** Stops the process where it is, as a suspended machine does. The function returned lets it go on. */
  pause(): Promise<() => void>;
}

const program = fileURLToPath(new URL('fleet-process.ts', import.meta.url));

interface Waiting {
  resolve(output: unknown): void;
  reject(error: Error): void;
}

export async function startProcessWorker(): Promise<ProcessWorker> {
  const child = fork(program, { execArgv: ['--import', 'tsx'] });
  const waiting = new Map<number, Waiting>();
  let orders = 0;
  let isAlive = true;

  child.on('message', (reply: Reply) => {
    if (reply.type === 'ready') return;
    const order = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (reply.type === 'done') order?.resolve(reply.output);
    else order?.reject(Object.assign(new Error(reply.message), { code: reply.code }));
  });
  child.once('exit', (code, signal) => {
    isAlive = false;
    for (const { reject } of waiting.values()) reject(new Error(`The process of a worker ended: ${signal ?? code}`));
  });

  function send(order: WithoutId<Order>): Promise<unknown> {
    const id = orders;
    orders += 1;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      child.send({ ...order, id }, (error) => error && reject(error));
    });
  }

  async function perform<A extends ActName>(act: A, input: ActInput<A>, beginAtMs = 0): Promise<ActOutput<A>> {
    // It is performed there as it would be here.
    return (await send({ type: 'act', act, input: input as ActInput<ActName>, beginAtMs })) as ActOutput<A>;
  }

  await once(child, 'message');
  const { pid } = child;
  if (pid === undefined) throw new Error('A process that has said something has an id');
  return {
    pid,
    get isAlive() {
      return isAlive;
    },
    async open(address, settings, beginAtMs) {
      await send({ type: 'open', address, settings, beginAtMs });
    },
    async close() {
      await send({ type: 'close', beginAtMs: 0 });
    },
    perform,
    keys: remoteKeys({ perform }),
    async die() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
    pause: () => pause(pid),
  };
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** The shell lets it go on when its input ends: also when this process is killed, which ends the worker then. */
const pausing = 'trap "" INT TERM HUP; kill -STOP "$1"; echo stopped; read -r _; kill -CONT "$1"';

async function pause(pid: number): Promise<() => void> {
  const shell = spawn('sh', ['-c', pausing, 'sh', `${pid}`], { detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
  await once(shell.stdout, 'data');
  return () => shell.stdin.end();
}
