import type { AdmitVerdict, Hold } from '../../stores/store.ts';

/** Does the same so many times at once. */
export function concurrently<T>(times: number, act: (index: number) => Promise<T>): Promise<readonly T[]> {
  return Promise.all(Array.from({ length: times }, (_, index) => act(index)));
}

/** The holds of the verdicts that admit. */
export function holdsOf(verdicts: readonly AdmitVerdict[]): readonly Hold[] {
  return verdicts.flatMap((verdict) => (verdict.outcome === 'admitted' ? [verdict.hold] : []));
}
