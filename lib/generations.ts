/**
 * A bounded map in two generations: when the younger one is full, or old enough, the older one is forgotten at once.
 * Forgetting costs nothing per value, where keeping a `Map` in order of use gets slower with its size.
 */
export interface Generations<T> {
  get(name: string): T | undefined;
  set(name: string, value: T, nowMs: number): void;
  delete(name: string): void;
  clear(): void;
}

export interface GenerationsOptions {
  /** The most values kept; the half of it is kept for sure. */
  readonly maxSize: number;
  /** How long a value is remembered at least, unless {@link maxSize} is reached; absent: until then. */
  readonly retentionMs?: number;
}

export function createGenerations<T>({ maxSize, retentionMs = Infinity }: GenerationsOptions): Generations<T> {
  let younger = new Map<string, T>();
  let older = new Map<string, T>();
  let startedMs = 0;
  return {
    get: (name) => younger.get(name) ?? older.get(name),
    set(name, value, nowMs) {
      if (younger.size === 0) startedMs = nowMs;
      younger.set(name, value);
      if (younger.size < maxSize / 2 && nowMs - startedMs < retentionMs) return;
      older = younger;
      younger = new Map();
    },
    delete(name) {
      younger.delete(name);
      older.delete(name);
    },
    clear() {
      younger.clear();
      older.clear();
    },
  };
}
