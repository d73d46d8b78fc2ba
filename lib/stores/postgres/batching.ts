import { StoreUnavailableError } from '../../errors.ts';
import type { ScopeId } from '../../limits/limit.ts';
import type { Act } from './acts.ts';
import type { RunBatch } from './batch.ts';
import { codeOf, collisions } from './connection.ts';

const maxBatch = 64;
/** On their way at once. */
const maxBatches = 2;
/** Fewer acts than this are not divided among batches: each costs a commit. */
const minBatch = 32;
const maxAttempts = 4;

/** Gives acts to batches, and each its own answer. */
export type Submit = <T>(act: Act<T>) => Promise<T>;

interface Job {
  readonly act: Act<unknown>;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/**
 * What comes while batches are on their way travels together in the next. Those that are on their way at once have no
 * scope in common, so that none waits for another's locks. A batch that the database refuses is undone, and its acts go
 * one by one, so that a bad one spoils none of the others.
 */
export function createSubmit(run: RunBatch): Submit {
  let waiting: Job[] = [];
  const busy = new Set<ScopeId>();
  let running = 0;
  let isPumping = false;

  async function pump(): Promise<void> {
    // What is asked in the same tick travels in the first batch already.
    await undefined;
    isPumping = false;
    while (running < maxBatches && waiting.length > 0) {
      const jobs = nextBatch(Math.ceil(waiting.length / (maxBatches - running)));
      if (jobs.length === 0) return;
      void carry(jobs);
    }
  }

  async function carry(jobs: readonly Job[]): Promise<void> {
    const scopeIds = jobs.flatMap(({ act }) => act.scopeIds);
    for (const scopeId of scopeIds) busy.add(scopeId);
    running += 1;
    await carryOut(jobs);
    running -= 1;
    for (const scopeId of scopeIds) busy.delete(scopeId);
    wake();
  }

  function wake(): void {
    if (isPumping || waiting.length === 0) return;
    isPumping = true;
    void pump();
  }

  function isBusy({ scopeIds }: Act<unknown>): boolean {
    return scopeIds.some((scopeId) => busy.has(scopeId));
  }

  /** Takes its share of what waits, and further acts of the same scopes. */
  function nextBatch(share: number): readonly Job[] {
    const jobs: Job[] = [];
    const left: Job[] = [];
    const own = new Set<ScopeId>();
    // Whoever waits for a scope is not overtaken there.
    const reserved = new Set<ScopeId>();
    for (const [index, job] of waiting.entries()) {
      if (jobs.length === maxBatch) {
        left.push(...waiting.slice(index));
        break;
      }
      const { scopeIds } = job.act;
      const isBlocked = isBusy(job.act) || scopeIds.some((scopeId) => reserved.has(scopeId));
      if (isBlocked) for (const scopeId of scopeIds) reserved.add(scopeId);
      if (isBlocked || (jobs.length >= Math.max(share, minBatch) && !scopeIds.some((scopeId) => own.has(scopeId)))) {
        left.push(job);
        continue;
      }
      for (const scopeId of scopeIds) own.add(scopeId);
      jobs.push(job);
    }
    waiting = left;
    return jobs;
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
      // Where its scopes are busy the end of their batch wakes it: looking through all that waits would be for nothing.
      if (running < maxBatches && !isBusy(act)) wake();
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
