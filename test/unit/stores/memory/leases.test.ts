import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createLeases, type Leased } from '../../../../lib/stores/memory/leases.ts';

interface Named extends Leased {
  readonly name: number;
}

function named(name: number, leaseMs: number): Named {
  return { name, leaseMs, leaseEndsAtMs: 0, earlier: undefined, later: undefined };
}

const act = fc.record({
  kind: fc.constantFrom('start', 'start', 'renew', 'end', 'expire'),
  which: fc.nat(30),
  leaseMs: fc.constantFrom(10, 100),
  stepMs: fc.oneof(fc.nat(40), fc.integer({ min: -300, max: 0 })),
});

describe('createLeases', () => {
  it('gives exactly the leases that have ended, whatever starts, is renewed or ends, and whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 120 }), (acts) => {
        const leases = createLeases<Named>();
        const running = new Map<Named, number>();
        let nowMs = 10_000;
        for (const [name, { kind, which, leaseMs, stepMs }] of acts.entries()) {
          nowMs += stepMs;
          const chosen = [...running.keys()][which % Math.max(1, running.size)];
          if (kind === 'start' || (kind === 'renew' && chosen !== undefined)) {
            const leased = (kind === 'renew' ? chosen : undefined) ?? named(name, leaseMs);
            leases.start(leased, nowMs);
            running.set(leased, nowMs + leased.leaseMs);
          } else if (kind === 'end' && chosen !== undefined) {
            leases.end(chosen);
            leases.end(chosen);
            running.delete(chosen);
          } else if (kind === 'expire') {
            const due = [...running].filter(([, endsAtMs]) => endsAtMs <= nowMs).map(([leased]) => leased);
            const expired: Named[] = [];
            for (let next = leases.expired(nowMs); next !== undefined; next = leases.expired(nowMs)) {
              expired.push(next);
              leases.end(next);
              running.delete(next);
            }
            assert.deepEqual(new Set(expired), new Set(due));
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('gives those of one length in the order in which they end', () => {
    const leases = createLeases<Named>();
    const [first, second, third] = [named(1, 10), named(2, 10), named(3, 10)];
    for (const [index, leased] of [first, second, third].entries()) leases.start(leased, index);
    leases.start(first, 5);
    const order: number[] = [];
    for (let next = leases.expired(100); next !== undefined; next = leases.expired(100)) {
      order.push(next.name);
      leases.end(next);
    }
    assert.deepEqual(order, [2, 3, 1]);
  });
});
