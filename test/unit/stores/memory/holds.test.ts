import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Call, EndedHold, OpenHold } from '../../../../lib/ledger/holds.ts';
import { HoldTable } from '../../../../lib/stores/memory/hold-table.ts';
import { createHolds } from '../../../../lib/stores/memory/holds.ts';

const hourMs = 3_600_000;
const noCalls = new Map<string, Call>();

function openHold(holdId: string, calls = noCalls): OpenHold {
  return { holdId, takes: [], calls, leaseMs: 1000, leaseEndsAtMs: 0, earlier: undefined, later: undefined };
}

describe('HoldTable', () => {
  it('finds what was put last under each id, and nothing else, however alike the ids are', () => {
    const alike = fc.tuple(fc.nat(3000), fc.constantFrom('', 'a', 'same-ending'));
    fc.assert(
      fc.property(fc.array(fc.tuple(alike, fc.boolean()), { maxLength: 3000, size: 'max' }), (puts) => {
        const table = new HoldTable();
        const expected = new Map<string, OpenHold | string>();
        for (const [[number, ending], isOpen] of puts) {
          const holdId = `${number}${ending}`;
          const entry = isOpen ? openHold(holdId) : holdId;
          assert.equal(table.find(holdId), expected.get(holdId));
          table.put(holdId, entry);
          expected.set(holdId, entry);
        }
        for (const [holdId, entry] of expected) assert.equal(table.find(holdId), entry);
        assert.equal(table.find('another'), undefined);
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
