import { createGenerations } from '../generations.ts';
import type { Store } from '../stores/store.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';

/** The time of last use is for people: it is written at most this often for a key, not with every request. */
const writeEveryMs = 5 * 60_000;
const maxKeys = 100_000;

/** Notes, in the background, that a key was used. */
export function createLastUsed({ store, now }: { store: Pick<Store, 'touchKey'>; now: () => number }) {
  const written = createGenerations<number>({ maxSize: maxKeys });
  return function touch({ id, lastUsedAtMs }: VirtualKeyRecord): void {
    const nowMs = now();
    const latestMs = Math.max(lastUsedAtMs ?? 0, written.get(id) ?? 0);
    if (nowMs - latestMs < writeEveryMs) return;
    written.set(id, nowMs, nowMs);
    // Nothing depends on it: what could not be written now is written with a later use.
    store.touchKey(id, nowMs).catch(() => undefined);
  };
}
