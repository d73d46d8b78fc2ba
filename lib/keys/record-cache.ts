import { createGenerations } from '../generations.ts';
import type { Answer } from '../stores/store.ts';

/** A record, or its absence, as it was read at one moment. */
export interface Entry<T> {
  readonly value: T | undefined;
  /** Before the read began: age counts from here. */
  readonly readAtMs: number;
  /** Cleared when a change is noticed. */
  valid: boolean;
  readonly era: Era;
}

/** A time in which changes are heard of. */
interface Era {
  isOver: boolean;
}

/**
 * Records by name, read through: at most `cacheMs` old, forgotten when a change is noticed, bounded. Reads of one name at
 * the same time are one read.
 */
export interface RecordCache<T> {
  /** At once, where it is remembered. */
  get(name: string, fresh?: boolean): Answer<Entry<T>>;
  /** From memory alone, also past `cacheMs`, and also if changes may have been missed since. */
  remembered(name: string, maxAgeMs: number): Entry<T> | undefined;
  forget(name: string): void;
  /** Names that had no record may have one now. */
  forgetAbsent(): void;
  /** Any name may have changed: what is known of it is read anew, and remembered until then. */
  doubtAll(): void;
}

export interface RecordCacheOptions<T> {
  readonly load: (name: string) => Promise<T | undefined>;
  readonly now: () => number;
  readonly cacheMs: number;
  readonly maxSize: number;
  /** Absences are kept apart, so that guessing names cannot push records out. */
  readonly maxAbsent: number;
}

export function createRecordCache<T>(options: RecordCacheOptions<T>): RecordCache<T> {
  const { load, now, cacheMs, maxSize, maxAbsent } = options;
  const present = createGenerations<Entry<T>>({ maxSize });
  const absent = createGenerations<Entry<T>>({ maxSize: maxAbsent });
  const reading = new Map<string, Promise<Entry<T>>>();
  let changes = 0;
  let era: Era = { isOver: false };

  async function read(name: string): Promise<Entry<T>> {
    const readAtMs = now();
    const changesBefore = changes;
    const value = await load(name);
    // What comes back after a change was noticed may be from before it: good for this once, not for keeping.
    const entry = { value, readAtMs, valid: changes === changesBefore, era };
    if (!entry.valid) return entry;
    drop(name);
    (value === undefined ? absent : present).set(name, entry, readAtMs);
    return entry;
  }

  /** Whoever still has the entry learns that it is not the latest, as it would not hear of a change any more. */
  function drop(name: string): void {
    const entry = present.get(name) ?? absent.get(name);
    if (entry === undefined) return;
    entry.valid = false;
    present.delete(name);
    absent.delete(name);
  }

  return {
    get(name, fresh = false) {
      // A fresh read must begin after it was asked for: one that is under way may have seen the record before.
      if (fresh) return read(name);
      const cached = present.get(name) ?? absent.get(name);
      if (cached !== undefined && isFresh(cached, now(), cacheMs)) return cached;
      const underWay = reading.get(name);
      if (underWay !== undefined) return underWay;
      const begun = read(name).finally(() => {
        if (reading.get(name) === begun) reading.delete(name);
      });
      reading.set(name, begun);
      return begun;
    },
    remembered(name, maxAgeMs) {
      const entry = present.get(name);
      return entry !== undefined && isWithinAge(entry, now(), maxAgeMs) ? entry : undefined;
    },
    forget(name) {
      changes += 1;
      // Whoever asks from now on knows of the change, and is not to get what was read before it.
      reading.delete(name);
      drop(name);
    },
    forgetAbsent() {
      changes += 1;
      reading.clear();
      absent.clear();
    },
    doubtAll() {
      changes += 1;
      reading.clear();
      absent.clear();
      era.isOver = true;
      era = { isOver: false };
    },
  };
}

/** Whether the record may be used without asking the store. */
export function isFresh(entry: Entry<unknown>, nowMs: number, cacheMs: number): boolean {
  return !entry.era.isOver && isWithinAge(entry, nowMs, cacheMs);
}

/** Whether no change is known since it was read, at most so long ago: as good as it gets while the store is down. */
export function isWithinAge(entry: Entry<unknown>, nowMs: number, maxAgeMs: number): boolean {
  const ageMs = nowMs - entry.readAtMs;
  return entry.valid && ageMs < maxAgeMs && ageMs >= 0;
}
