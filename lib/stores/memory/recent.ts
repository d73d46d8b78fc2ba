/**
 * Remembers values by name for at least `retentionMs`, in two generations, so that forgetting costs nothing per value.
 * Past `maxSize` names the older generation goes early: memory is bounded before it is complete.
 */
export interface Recent<T> {
  get(name: string): T | undefined;
  has(name: string): boolean;
  set(name: string, value: T, nowMs: number): void;
}

export function createRecent<T>(retentionMs: number, maxSize: number): Recent<T> {
  let current = new Map<string, T>();
  let previous = new Map<string, T>();
  let startedMs = 0;
  return {
    get: (name) => current.get(name) ?? previous.get(name),
    has: (name) => current.has(name) || previous.has(name),
    set(name, value, nowMs) {
      if (current.size === 0) startedMs = nowMs;
      current.set(name, value);
      if (current.size < maxSize / 2 && nowMs - startedMs < retentionMs) return;
      previous = current;
      current = new Map();
    },
  };
}
