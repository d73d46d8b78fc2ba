import { setTimeout as sleep } from 'node:timers/promises';

const patienceMs = 30_000;
const everyMs = 50;

/** Asks until the answer is accepted, and gives it: for what other processes do in their own time, such as ending leases. */
export async function until<T>(what: string, ask: () => Promise<T>, accepts: (answer: T) => boolean): Promise<T> {
  const endMs = performance.now() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (accepts(answer)) return answer;
    if (performance.now() > endMs) throw new Error(`${what}: not within ${patienceMs} ms; ${JSON.stringify(answer)}`);
    await sleep(everyMs);
  }
}
