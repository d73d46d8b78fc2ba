import type { VirtualKeys } from '../../../lib/index.ts';
import type { ActInput, ActName, ActOutput } from './acts/acts.ts';
import type { ServiceMethod } from './acts/call-service.ts';
import { monotonicMs } from './monotonic.ts';

/** One of several that have a service each on the same store. */
export interface Worker {
  /** Does an act, not before a moment of {@link monotonicMs}. */
  perform<A extends ActName>(act: A, input: ActInput<A>, beginAtMs?: number): Promise<ActOutput<A>>;
  /** Its service. */
  readonly keys: RemoteKeys;
  /** It is gone at once, with all that it holds. */
  die(): Promise<void>;
}

export type RemoteKeys = Pick<VirtualKeys, ServiceMethod>;

/** Makes the same call of a worker's service so many times at once, and gives all answers. */
export async function callMany<M extends ServiceMethod>(
  worker: Pick<Worker, 'perform'>,
  method: M,
  calls: readonly Readonly<Parameters<VirtualKeys[M]>>[],
  beginAtMs?: number,
): Promise<readonly Awaited<ReturnType<VirtualKeys[M]>>[]> {
  const { answers } = await worker.perform('callService', { method, calls }, beginAtMs);
  // The service answers what its types say.
  return answers as readonly Awaited<ReturnType<VirtualKeys[M]>>[];
}

/** The service of a worker as it is called from here. */
export function remoteKeys(worker: Pick<Worker, 'perform'>): RemoteKeys {
  const call =
    (method: ServiceMethod) =>
    async (...args: readonly unknown[]) =>
      (await worker.perform('callService', { method, calls: [args] })).answers[0];
  // Whatever the method, its arguments and its answer are handed on.
  return new Proxy({} as RemoteKeys, { get: (_, method) => call(method as ServiceMethod) });
}

/** Longer than an order takes on its way: when it comes to its moment, all workers have theirs. */
const onTheWayMs = 50;

/** Has all workers begin at the same moment. */
export function atOnce<W, T>(workers: readonly W[], begin: (worker: W, beginAtMs: number, at: number) => Promise<T>) {
  const beginAtMs = monotonicMs() + onTheWayMs;
  return Promise.all(workers.map((worker, at) => begin(worker, beginAtMs, at)));
}
