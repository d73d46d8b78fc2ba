import { StoreUnavailableError } from '../errors.ts';
import type { WithDeadline } from './deadline.ts';
import type { Answer } from './store.ts';

/** So many calls in a row that found no answer open the circuit. */
const failuresToOpen = 5;
/** While it is open, one call in so many milliseconds finds out whether the store is back. */
const probeEveryMs = 250;

/** The way to a store, which learns from each call whether the store answers. */
export interface Circuit {
  /**
   * Asks the store, within the deadline. While the store is known to be down, all but a probe now and then are refused at
   * once, by an error that is thrown before anything is sent; an error that comes later rejects the answer.
   */
  ask<T>(call: () => Answer<T>): Answer<T>;
  /** As {@link Circuit.ask}, and never refused: for what the store must hear of. */
  insist<T>(call: () => Answer<T>): Answer<T>;
  /** Since when no call has found an answer; `null`: the last one did. */
  failingSinceMs(): number | null;
  /** Whether calls are refused here without asking the store. */
  isOpen(): boolean;
}

export interface CircuitOptions {
  readonly now: () => number;
  readonly withDeadline: WithDeadline;
  /** Told when the first call of a series finds no answer, with its error, and when the next one does. */
  readonly onChange: (error?: unknown) => void;
}

export function createCircuit({ now, withDeadline, onChange }: CircuitOptions): Circuit {
  let failures = 0;
  let failingSince: number | null = null;
  let nextProbeMs = 0;
  let begun = 0;
  let heardOf = 0;

  /** A call that began before one that was heard of already tells how the store was, not how it is. */
  function isNews(call: number): boolean {
    if (call < heardOf) return false;
    heardOf = call;
    return true;
  }

  function succeed(): void {
    if (failingSince === null) return;
    failures = 0;
    failingSince = null;
    onChange();
  }

  function fail(error: unknown): void {
    failures += 1;
    const nowMs = now();
    nextProbeMs = nowMs + probeEveryMs;
    if (failingSince !== null) return;
    failingSince = nowMs;
    onChange(error);
  }

  async function watch<T>(answer: Promise<T>): Promise<T> {
    begun += 1;
    const call = begun;
    try {
      const value = await withDeadline(answer);
      if (isNews(call)) succeed();
      return value;
    } catch (error) {
      if (isNews(call)) fail(error);
      throw error;
    }
  }

  function insist<T>(call: () => Answer<T>): Answer<T> {
    let answer: Answer<T>;
    try {
      answer = call();
    } catch (error) {
      return watch(Promise.reject(error));
    }
    if (answer instanceof Promise) return watch(answer);
    if (failingSince !== null) succeed();
    return answer;
  }

  function isOpen(): boolean {
    if (failures < failuresToOpen) return false;
    // A clock that stepped back must not keep the circuit open.
    const waitMs = nextProbeMs - now();
    return waitMs > 0 && waitMs <= probeEveryMs;
  }

  return {
    ask(call) {
      if (isOpen()) throw new StoreUnavailableError('The store is down');
      if (failures >= failuresToOpen) nextProbeMs = now() + probeEveryMs;
      return insist(call);
    },
    insist,
    failingSinceMs: () => failingSince,
    isOpen,
  };
}
