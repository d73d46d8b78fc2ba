import { setImmediate as turn } from 'node:timers/promises';
import { monotonicMs } from '../monotonic.ts';
import { callBySecret, type Station } from '../station.ts';

export interface Calling {
  readonly keyId: string;
  readonly secret: string;
  readonly bySecret: number;
  readonly byId: number;
}

/** What became of the calls that were made in one way. */
export interface CallsMade {
  admitted: number;
  refused: number;
  /** When the latest began of those that were admitted. */
  lastAdmittedAtMs: number;
}

export interface CallingReport {
  readonly bySecret: CallsMade;
  readonly byId: CallsMade;
}

/** A caller that was refused goes on to call so often, to be refused each time. */
const refusalsOfEach = 5;

const calling = new WeakMap<Station, Promise<CallingReport>>();

/** Has so many callers call without pause, by secret and by id. Resolves when each has called once. */
export async function startCalling(station: Station, { keyId, secret, ...callers }: Calling): Promise<void> {
  const report = { bySecret: noCalls(), byId: noCalls() };
  const bySecret = async () => (await callBySecret(station, secret, 1)) === 'admitted';
  const byId = async () => {
    const call = await station.keys.admit({ keyId, model: 'gpt-4o', tokens: 1 });
    if (call.admitted) await station.keys.cancel(call.hold);
    return call.admitted;
  };
  const calls = [
    ...Array.from({ length: callers.bySecret }, () => () => count(report.bySecret, bySecret)),
    ...Array.from({ length: callers.byId }, () => () => count(report.byId, byId)),
  ];
  await Promise.all(calls.map((call) => call()));
  const going = Promise.all(calls.map(callUntilRefused)).then(() => report);
  // It is told to whoever waits for the end.
  going.catch(() => undefined);
  calling.set(station, going);
}

/** Resolves when all that {@link startCalling} began have been refused again and again. */
export async function endCalling(station: Station): Promise<CallingReport> {
  const going = calling.get(station);
  if (going === undefined) throw new Error('Nobody is calling');
  return going;
}

async function callUntilRefused(call: () => Promise<boolean>): Promise<void> {
  for (let refusals = 0; refusals < refusalsOfEach; ) {
    if (!(await call())) refusals += 1;
    // What is refused from memory waits for nothing, and nothing else would have its turn.
    await turn();
  }
}

async function count(made: CallsMade, call: () => Promise<boolean>): Promise<boolean> {
  const beganAtMs = monotonicMs();
  const isAdmitted = await call();
  if (isAdmitted) {
    made.admitted += 1;
    made.lastAdmittedAtMs = Math.max(made.lastAdmittedAtMs, beganAtMs);
  } else {
    made.refused += 1;
  }
  return isAdmitted;
}

function noCalls(): CallsMade {
  return { admitted: 0, refused: 0, lastAdmittedAtMs: 0 };
}
