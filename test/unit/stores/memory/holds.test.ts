import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { EndedHold, OpenHold } from '../../../../lib/ledger/holds.ts';
import { createHolds } from '../../../../lib/stores/memory/holds.ts';
import { IdBits, IdTable } from '../../../../lib/stores/memory/id-table.ts';

const hourMs = 3_600_000;

function openHold(holdId: string): OpenHold {
  return { holdId, takes: [], calls: [], leaseMs: 1000, leaseEndsAtMs: 0, earlier: undefined, later: undefined };
}

describe('IdTable', () => {
  it('gives what was set last for each id, and nothing for others, however alike the ids are', () => {
    const number = fc.nat(3000);
    const id = fc.oneof(
      number.map((digits) => digits.toString(16).padStart(32, '0')),
      number.map((digits) => digits.toString(16).padEnd(32, 'a')),
      number.map((digits) => `hold-${digits}`),
      fc.constantFrom('', 'A'.repeat(32), 'a'.repeat(31), 'a'.repeat(33), 'é'.repeat(32)),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(id, fc.integer({ min: -1, max: 5 })), { maxLength: 3000, size: 'max' }), (sets) => {
        const bits = new IdBits();
        const table = new IdTable();
        const expected = new Map<string, number>();
        for (const [name, value] of sets) {
          assert.equal(table.get(bits.of(name)), expected.get(name));
          table.set(bits.of(name), value);
          expected.set(name, value);
        }
        for (const [name, value] of expected) assert.equal(table.get(bits.of(name)), value);
        assert.equal(table.get(bits.of('another')), undefined);
      }),
      { numRuns: 30 },
    );
  });
});

describe('createHolds', () => {
  it('keeps an open hold, however many others have ended meanwhile', () => {
    const holds = createHolds(20);
    const kept = openHold('kept');
    holds.open(kept, 0);
    endMany(100, 0);
    assert.equal(holds.find('kept'), kept);
    assert.equal(holds.findEnded('kept'), undefined);
    holds.end(kept, 0);
    assert.equal(holds.find('kept'), undefined);
    assert.equal(holds.findEnded('kept'), 'ended');

    function endMany(count: number, nowMs: number): void {
      for (let number = 0; number < count; number += 1) {
        const hold = openHold(`other-${number}`);
        holds.open(hold, nowMs);
        holds.end(hold, nowMs);
      }
    }
  });

  it('remembers for an hour that a hold has ended, and forgets it within two of traffic', () => {
    const holds = createHolds(1000);
    const outcomeAfter = (nowMs: number): EndedHold | undefined => {
      holds.rememberEnded(`at-${nowMs}`, 'ended', nowMs);
      return holds.findEnded('first');
    };
    holds.rememberEnded('first', 'ended', 0);
    assert.equal(outcomeAfter(hourMs), 'ended');
    assert.equal(outcomeAfter(hourMs + 1), 'ended');
    assert.equal(outcomeAfter(2 * hourMs + 1), undefined);
  });
});
