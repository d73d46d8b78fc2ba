import type { Answer } from './store.ts';

/**
 * The same answer, heard also when it comes after the deadline: whoever asks again is only told that the act is done, and
 * what the act brought about is told by its own answer alone.
 */
export function answered<T>(answer: Answer<T>, hear: (value: T) => void): Answer<T> {
  if (answer instanceof Promise) {
    return answer.then((value) => {
      hear(value);
      return value;
    });
  }
  hear(answer);
  return answer;
}

/** Goes on with an answer: in the same tick, where it is there at once. */
export function whenAnswered<T, U>(answer: Answer<T>, goOn: (value: T) => Answer<U>): Answer<U> {
  return answer instanceof Promise ? answer.then(goOn) : goOn(answer);
}

/** Begins an act that nobody waits for. */
export function inBackground(act: () => Answer<unknown>, onFailure: (error: unknown) => void = () => undefined): void {
  try {
    const answer = act();
    if (answer instanceof Promise) answer.catch(onFailure);
  } catch (error) {
    onFailure(error);
  }
}
