import { type ActInput, type ActName, type ActOutput, acts } from './acts/acts.ts';
import type { Station } from './station.ts';

/** Does one act at a station. */
export function perform<A extends ActName>(station: Station, act: A, input: ActInput<A>): Promise<ActOutput<A>> {
  // The table has each act with its own input and output.
  const run: (station: Station, input: ActInput<A>) => Promise<unknown> = acts[act] as never;
  return run(station, input) as Promise<ActOutput<A>>;
}
