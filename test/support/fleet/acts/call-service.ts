import type { VirtualKeys } from '../../../../lib/index.ts';
import { monotonicMs } from '../monotonic.ts';
import type { Station } from '../station.ts';

/** Methods whose arguments and answers are plain JSON. */
export type ServiceMethod = Exclude<keyof VirtualKeys, 'on' | 'addHook' | 'close'>;

export interface ServiceCalls {
  readonly method: ServiceMethod;
  /** The arguments of each call; all are made at once. */
  readonly calls: readonly (readonly unknown[])[];
}

export interface ServiceAnswers {
  readonly answers: readonly unknown[];
  /** When the last one was answered. */
  readonly answeredAtMs: number;
}

/** Calls the service of this process. */
export async function callService({ keys }: Station, { method, calls }: ServiceCalls): Promise<ServiceAnswers> {
  // The arguments were checked against the method's types by whoever sent them, before they were JSON.
  const ask: (...args: readonly unknown[]) => unknown = keys[method] as never;
  const answers = await Promise.all(calls.map((args) => ask(...args)));
  return { answers, answeredAtMs: monotonicMs() };
}
