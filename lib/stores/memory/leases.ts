/** Something that ends by itself when its lease is over. */
export interface Leased {
  readonly leaseMs: number;
  leaseEndsAtMs: number;
  earlier: Leased | undefined;
  later: Leased | undefined;
}

/** A service has one length of lease. Its queue stays when it is empty: making it anew for each call costs more. */
const maxIdleQueues = 16;

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
  /** A lease that has ended: of its length, the one that ended first. */
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
    if (queue.first === undefined && queues.size > maxIdleQueues) queues.delete(leased.leaseMs);
  }

  return {
    start(leased, nowMs) {
      unlink(leased);
      let queue = queues.get(leased.leaseMs);
      if (queue === undefined) {
        queue = { first: undefined, last: undefined };
        queues.set(leased.leaseMs, queue);
      }
      leased.leaseEndsAtMs = nowMs + leased.leaseMs;
      let earlier = queue.last;
      // Only after the clock stepped back do leases end later than one that starts now.
      while (earlier !== undefined && earlier.leaseEndsAtMs > leased.leaseEndsAtMs) earlier = earlier.earlier;
      leased.earlier = earlier;
      leased.later = earlier === undefined ? queue.first : earlier.later;
      if (earlier === undefined) queue.first = leased;
      else earlier.later = leased;
      if (leased.later === undefined) queue.last = leased;
      else leased.later.earlier = leased;
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
