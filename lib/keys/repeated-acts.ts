import { StoreUnavailableError } from '../errors.ts';
import { createGenerations } from '../generations.ts';
import { answered } from '../stores/answered.ts';
import type { Circuit } from '../stores/circuit.ts';
import type { Answer } from '../stores/store.ts';

/** More than are repeated at once. */
const maxLost = 100_000;

/** An act that a store carries out once for its name, however often it is asked. */
export interface NamedAct<T> {
  readonly name: string;
  readonly send: () => Answer<T>;
  /** Whether the answer says that this very request was carried out, and not one before it. */
  readonly isDoneNow: (answer: T) => boolean;
  /** Hears every answer, one that comes after the deadline too. Of all that are given to one act, at most one is news. */
  readonly hear: (answer: T, isNews: boolean) => void;
}

/**
 * Asks for acts that are repeated when no answer comes. A store may have carried out an act whose answer was lost; the
 * repetition is only told that it is done, and is the first that anybody here hears of it.
 */
export interface RepeatedActs {
  ask<T>(act: NamedAct<T>): Answer<T>;
}

export function createRepeatedActs({ circuit, now }: { circuit: Circuit; now: () => number }): RepeatedActs {
  /** Acts of which an answer was lost. */
  const lost = createGenerations<'untold' | 'told'>({ maxSize: maxLost });

  function isNews(name: string, isDoneNow: boolean): boolean {
    const state = lost.get(name);
    if (state === undefined) return isDoneNow;
    lost.set(name, 'told', now());
    return state === 'untold';
  }

  function lose(name: string): void {
    if (lost.get(name) === undefined) lost.set(name, 'untold', now());
  }

  return {
    ask({ name, send, isDoneNow, hear }) {
      const answer = circuit.insist(() => answered(send(), (value) => hear(value, isNews(name, isDoneNow(value)))));
      if (answer instanceof Promise) {
        answer.catch((error) => {
          if (error instanceof StoreUnavailableError) lose(name);
        });
      }
      return answer;
    },
  };
}
