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
  readonly leaseMs: number;
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
  let latestQueue: Queue | undefined;
  /** No lease ends before this moment: most of those who ask for one need not look. */
  let nextEndMs = Infinity;

  function findQueue(leaseMs: number): Queue | undefined {
    if (latestQueue?.leaseMs === leaseMs) return latestQueue;
    return queues.get(leaseMs);
  }

  function openQueue(leaseMs: number): Queue {
    let queue = findQueue(leaseMs);
    if (queue === undefined) {
      queue = { leaseMs, first: undefined, last: undefined };
      queues.set(leaseMs, queue);
    }
    latestQueue = queue;
    return queue;
  }

  function dropQueue(queue: Queue): void {
    queues.delete(queue.leaseMs);
    if (latestQueue === queue) latestQueue = undefined;
  }

  function unlink(leased: Leased): void {
    const queue = findQueue(leased.leaseMs);
    if (queue === undefined) return;
    if (leased.earlier !== undefined) leased.earlier.later = leased.later;
    else if (queue.first === leased) queue.first = leased.later;
    if (leased.later !== undefined) leased.later.earlier = leased.earlier;
    else if (queue.last === leased) queue.last = leased.earlier;
    leased.earlier = undefined;
    leased.later = undefined;
    if (queue.first === undefined && queues.size > maxIdleQueues) dropQueue(queue);
  }

  return {
    start(leased, nowMs) {
      unlink(leased);
      const queue = openQueue(leased.leaseMs);
      leased.leaseEndsAtMs = nowMs + leased.leaseMs;
      nextEndMs = Math.min(nextEndMs, leased.leaseEndsAtMs);
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
      if (nowMs < nextEndMs) return undefined;
      nextEndMs = Infinity;
      for (const { first } of queues.values()) {
        if (first === undefined) continue;
        nextEndMs = Math.min(nextEndMs, first.leaseEndsAtMs);
        if (first.leaseEndsAtMs <= nowMs) return first as T;
      }
      return undefined;
    },
  };
}
