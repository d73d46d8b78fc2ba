import { setTimeout as sleep } from 'node:timers/promises';
import type { Store } from '../../../lib/index.ts';
import { monotonicMs } from './monotonic.ts';
import { perform } from './perform.ts';
import { openStation, type StationSettings } from './station.ts';
import { remoteKeys, type Worker } from './worker.ts';

/** A worker in this process, for a store that no other one can reach. */
export async function startLocalWorker(store: Store, settings: StationSettings): Promise<Worker> {
  const station = await openStation({ store, archive: store, disconnect: async () => undefined }, settings);
  const performHere: Worker['perform'] = async (act, input, beginAtMs = 0) => {
    await sleep(Math.max(0, beginAtMs - monotonicMs()));
    // As JSON, which is all that reaches other workers.
    return JSON.parse(JSON.stringify((await perform(station, act, JSON.parse(JSON.stringify(input)))) ?? null));
  };
  return { perform: performHere, keys: remoteKeys({ perform: performHere }), die: () => station.close() };
}
