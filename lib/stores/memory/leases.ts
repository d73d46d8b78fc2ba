/** Something that ends by itself when its lease is over. */
export interface Leased {
  readonly leaseMs: number;
  leaseEndsAtMs: number;
  earlier: Leased | undefined;
  later: Leased | undefined;
}

interface Queue {
  first: Leased | undefined;
  last: Leased | undefined;
}

/**
 * Leases in the order in which they end: one linked list for each length, where a renewed lease moves to the tail.
 * Every act is O(1) in the number of leases; a `Map` kept in order by deleting and setting is not.
 */
export interface Leases<T extends Leased> {
  /** Starts or renews a lease. */
  start(leased: T, nowMs: number): void;
  end(leased: T): void;
  /** The lease that ends first, if it has ended. */
  expired(nowMs: number): T | undefined;
}

export function createLeases<T extends Leased>(): Leases<T> {
  const queues = new Map<number, Queue>();

  function unlink(leased: Leased): void {
    const queue = queues.get(leased.leaseMs);
    if (queue === undefined) return;
    if (leased.earlier !== undefined) leased.earlier.later = leased.later;
    else if (queue.first === leased) queue.first = leased.later;
    if (leased.later !== undefined) leased.later.earlier = leased.earlier;
    else if (queue.last === leased) queue.last = leased.earlier;
    leased.earlier = undefined;
    leased.later = undefined;
    if (queue.first === undefined) queues.delete(leased.leaseMs);
  }

  return {
    start(leased, nowMs) {
      unlink(leased);
      let queue = queues.get(leased.leaseMs);
      if (queue === undefined) {
        queue = { first: undefined, last: undefined };
        queues.set(leased.leaseMs, queue);
      }
      // After a step of the clock the tail may end later; the list stays in order because nothing ends before its elder.
      leased.leaseEndsAtMs = Math.max(nowMs + leased.leaseMs, queue.last?.leaseEndsAtMs ?? 0);
      leased.earlier = queue.last;
      if (queue.last !== undefined) queue.last.later = leased;
      else queue.first = leased;
      queue.last = leased;
    },
    end: unlink,
    expired(nowMs) {
      for (const { first } of queues.values()) {
        if (first !== undefined && first.leaseEndsAtMs <= nowMs) return first as T;
      }
      return undefined;
    },
  };
}
