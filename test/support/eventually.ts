import { setImmediate as turn } from 'node:timers/promises';

const patienceMs = 5000;

/**
 * Waits, turn by turn of the event loop, until a condition holds: for what a server does after its client has its answer
 * or has left.
 */
export async function eventually(holds: () => boolean | Promise<boolean>, what = 'The condition'): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`${what} did not come true`);
    await turn();
  }
}

/** Whether a call has an answer, and no error. */
export async function answers(call: () => Promise<unknown>): Promise<boolean> {
  return call().then(
    () => true,
    () => false,
  );
}
