import { StoreUnavailableError } from '../../errors.ts';
import type { Act } from './acts.ts';
import type { RunBatch } from './batch.ts';
import { codeOf, collisions } from './connection.ts';

const maxBatch = 64;
const maxAttempts = 4;

/** Gives acts to batches, and each its own answer. */
export type Submit = <T>(act: Act<T>) => Promise<T>;

interface Job {
  readonly act: Act<unknown>;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/**
 * One batch is on its way at a time: what comes meanwhile travels together in the next. A batch that the database refuses
 * is undone, and its acts go one by one, so that a bad one spoils none of the others.
 */
export function createSubmit(run: RunBatch): Submit {
  const waiting: Job[] = [];
  let isRunning = false;

  async function pump(): Promise<void> {
    // What is asked in the same tick travels in the first batch already.
    await undefined;
    while (waiting.length > 0) await carryOut(waiting.splice(0, maxBatch));
    isRunning = false;
  }

  async function carryOut(jobs: readonly Job[]): Promise<void> {
    try {
      const results = await run(jobs.map(({ act }) => act));
      for (const [index, job] of jobs.entries()) job.resolve(results[index]);
    } catch (error) {
      if (wasRefused(error)) await oneByOne(jobs);
      else for (const job of jobs) job.reject(error);
    }
  }

  async function oneByOne(jobs: readonly Job[]): Promise<void> {
    const locked = new Map<string, unknown>();
    for (const job of jobs) {
      // Somebody else holds a scope for longer than one may wait: it is waited for once.
      const known = job.act.scopeIds.find((scopeId) => locked.has(scopeId));
      if (known !== undefined) {
        job.reject(locked.get(known));
        continue;
      }
      try {
        job.resolve(await alone(job.act));
      } catch (error) {
        job.reject(error);
        if (sqlState(error) === lockNotAvailable) for (const scopeId of job.act.scopeIds) locked.set(scopeId, error);
      }
    }
  }

  async function alone(act: Act<unknown>): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const [result] = await run([act]);
        return result;
      } catch (error) {
        if (attempt === maxAttempts || !collisions.has(sqlState(error))) throw error;
      }
    }
  }

  return <T>(act: Act<T>) =>
    new Promise<T>((resolve, reject) => {
      // The queue holds acts of every kind; each gets the answer that its own `run` gave.
      waiting.push({ act, resolve, reject } as Job);
      if (isRunning) return;
      isRunning = true;
      void pump();
    });
}

const lockNotAvailable = '55P03';

/**
 * Whether it is sure that nothing was done: the database said so, or an act was nothing that it could be asked. Of a
 * connection that was lost nobody knows.
 */
function wasRefused(error: unknown): boolean {
  if (error instanceof StoreUnavailableError && error.cause instanceof TypeError) return true;
  const state = sqlState(error);
  // Connection exceptions, and shutdowns by an operator.
  return /^[0-9A-Z]{5}$/.test(state) && !state.startsWith('08') && !state.startsWith('57P');
}

function sqlState(error: unknown): string {
  return codeOf(error instanceof StoreUnavailableError ? error.cause : error);
}
