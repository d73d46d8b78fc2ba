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
