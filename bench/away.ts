import { type Acts, timesAt } from './loads.ts';
import { startProxy } from './processes.ts';
import type { Times } from './race.ts';

export interface AwayOptions {
  readonly callers: number;
  /** Of one caller, and of all of them. */
  readonly operations: readonly [alone: number, together: number];
}

/** Times by way of a proxy, without and with a millisecond that it adds each way. Its own cost is in both. */
export async function timesAway(
  port: number,
  open: (port: number) => Promise<{ readonly acts: Acts; close(): Promise<void> }>,
  { callers, operations: [alone, together] }: AwayOptions,
): Promise<Times> {
  const proxy = await startProxy(port);
  const { acts, close } = await open(proxy.port);
  const times = new Map<string, number>();
  try {
    for (const [delayMs, place] of [
      [0, 'by proxy'],
      [1, '1 ms away'],
    ] as const) {
      await proxy.delay(delayMs);
      const named = Object.fromEntries(Object.entries(acts).map(([name, act]) => [`${name}, ${place}`, act]));
      for (const [name, time] of await timesAt(1, named, { operations: alone })) times.set(name, time);
      for (const [name, time] of await timesAt(callers, named, { operations: together })) times.set(name, time);
    }
    return times;
  } finally {
    await close();
    proxy.stop();
  }
}
