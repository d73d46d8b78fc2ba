import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { CombinableLedger } from '../../../../lib/stores/combinable.ts';
import { createRelay } from '../../../../lib/stores/combined/relay.ts';
import { createRelayLag } from '../../../../lib/stores/combined/relay-lag.ts';
import { createDeadline } from '../../../../lib/stores/deadline.ts';
import { memoryStore } from '../../../../lib/stores/memory/memory-store.ts';
import type { StoreNotice } from '../../../../lib/stores/store.ts';
import { noTokens, type UsageEvent } from '../../../../lib/usage/usage.ts';
import { faultyStore } from '../../../support/faulty-store.ts';
import { testLog } from '../../../support/service.ts';

const withDeadline = createDeadline(1000);
const overlapMs = 5000;

/** A ledger whose lines become visible, and are counted in order, as the test says. */
function scriptedLedger() {
  const lines: { event: UsageEvent; visibleAtMs: number }[] = [];
  let nowMs = 1_000_000;
  let trimmed = 0;
  const ledger: CombinableLedger = {
    ...memoryStore(),
    now: async () => nowMs,
    async usageEvents(after, limit) {
      const events: UsageEvent[] = [];
      let position = Math.max(trimmed, Number(after ?? 0));
      for (; position < lines.length && events.length < limit; position += 1) {
        const line = lines[position];
        if (line !== undefined && line.visibleAtMs <= nowMs) events.push(line.event);
      }
      return { events, cursor: String(position) };
    },
    async trimUsage(until) {
      trimmed = Math.max(trimmed, Number(until));
    },
  };
  return {
    ledger,
    write(holdId: string, fields: Partial<UsageEvent> = {}, delayMs = 0) {
      lines.push({ event: usageOf(holdId, fields), visibleAtMs: nowMs + delayMs });
    },
    advance(ms: number) {
      nowMs += ms;
    },
    trimmed: () => trimmed,
  };
}

function usageOf(holdId: string, fields: Partial<UsageEvent> = {}): UsageEvent {
  return {
    ...{ keyId: 'k', ownerId: null, teamId: null, model: 'm', endpoint: null, ...noTokens },
    ...{ holdId, callId: '', source: 'reported', requests: 1, costNanoUsd: 1, atMs: 1_000_000, trace: null },
    ...fields,
  };
}

async function sumsOf(records: ReturnType<typeof memoryStore>) {
  const [row] = await records.usage({ groupBy: [] });
  return { requests: row?.requests ?? 0, costNanoUsd: row?.costNanoUsd ?? 0 };
}

describe('createRelay', () => {
  it('archives every line of several pages, and writes nothing when there is nothing new', async () => {
    const records = memoryStore();
    const { ledger, write } = scriptedLedger();
    for (let line = 0; line < 1234; line += 1) write(`${line}`);
    const relay = createRelay({ records, ledger, withDeadline });
    assert.equal(await relay.run(), true);
    assert.deepEqual(await sumsOf(records), { requests: 1234, costNanoUsd: 1234 });
  });

  it('forgets lines in the ledger only when they were read a second time, after the overlap', async () => {
    const records = memoryStore();
    const { ledger, write, advance, trimmed } = scriptedLedger();
    const relay = createRelay({ records, ledger, withDeadline });
    write('a');
    await relay.run();
    assert.equal(trimmed(), 0);
    for (let second = 0; second < 3; second += 1) {
      advance(overlapMs);
      await relay.run();
    }
    assert.equal(trimmed(), 1);
    assert.deepEqual(await sumsOf(records), { requests: 1, costNanoUsd: 1 });
    const mark = await records.archivedUntil();
    advance(overlapMs);
    await relay.run();
    assert.equal(await records.archivedUntil(), mark);
  });

  it('finds a line that became visible after later ones', async () => {
    const records = memoryStore();
    const { ledger, write, advance } = scriptedLedger();
    const relay = createRelay({ records, ledger, withDeadline });
    write('late', {}, overlapMs - 1);
    write('b');
    await relay.run();
    assert.deepEqual(await sumsOf(records), { requests: 1, costNanoUsd: 1 });
    for (let second = 0; second < 3; second += 1) {
      advance(overlapMs);
      await relay.run();
    }
    assert.deepEqual(await sumsOf(records), { requests: 2, costNanoUsd: 2 });
  });

  it('starts again from the beginning of the ledger where the mark cannot be read', async () => {
    const records = memoryStore();
    const { ledger, write } = scriptedLedger();
    write('a');
    await records.archiveUsage([usageOf('a')], { from: null, to: 'nonsense' });
    await createRelay({ records, ledger, withDeadline }).run();
    assert.deepEqual(await sumsOf(records), { requests: 1, costNanoUsd: 1 });
  });

  it('keeps each line once, whichever of many processes relay, fail and are killed on the way', async () => {
    const step = fc.oneof(
      fc.record({ type: fc.constant('write' as const), delayMs: fc.constantFrom(0, 0, overlapMs - 1) }),
      fc.record({ type: fc.constant('correct' as const) }),
      fc.record({ type: fc.constant('advance' as const), ms: fc.constantFrom(1, overlapMs) }),
      fc.record({ type: fc.constant('relay' as const), processes: fc.integer({ min: 1, max: 4 }) }),
      fc.record({
        type: fc.constant('failing' as const),
        fault: fc.constantFrom('fail' as const, 'lose_reply' as const),
        method: fc.constantFrom('archiveUsage' as const, 'archivedUntil' as const),
      }),
      fc.record({ type: fc.constant('dying' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { store: records, ...breaking } = faultyStore(memoryStore());
        const { ledger, write, advance } = scriptedLedger();
        const relay = (half = ledger) => createRelay({ records, ledger: half, withDeadline });
        const costs = new Map<string, number>();
        for (const [position, given] of steps.entries()) {
          switch (given.type) {
            case 'write':
              write(`${position}`, { costNanoUsd: position }, given.delayMs);
              costs.set(`${position}`, position);
              break;
            case 'correct': {
              const [holdId] = [...costs.keys()].slice(-1);
              if (holdId === undefined) break;
              // Its first line is visible, as whoever settles has seen it.
              advance(overlapMs);
              write(holdId, { costNanoUsd: 1000 + position });
              costs.set(holdId, 1000 + position);
              break;
            }
            case 'advance':
              advance(given.ms);
              break;
            case 'relay':
              await Promise.all(Array.from({ length: given.processes }, () => relay().run()));
              break;
            case 'failing':
              breaking.break(given.fault, given.method);
              await relay()
                .run()
                .catch(() => undefined);
              breaking.mend();
              break;
            case 'dying':
              // Whatever was archived, the ledger is not told of it.
              await relay({ ...ledger, trimUsage: () => Promise.reject(new Error('killed')) })
                .run()
                .catch(() => undefined);
          }
        }
        for (let second = 0; second < 4; second += 1) {
          advance(overlapMs);
          await relay().run();
        }
        const costNanoUsd = [...costs.values()].reduce((sum, cost) => sum + cost, 0);
        assert.deepEqual(await sumsOf(records), { requests: costs.size, costNanoUsd });
      }),
      { numRuns: 150 },
    );
  });

  it('answers that it has not caught up where a half does not answer', async () => {
    const records = faultyStore(memoryStore());
    const { ledger } = scriptedLedger();
    const relay = createRelay({ records: records.store, ledger, withDeadline });
    assert.equal(await relay.hasCaughtUp(), true);
    records.break('fail');
    assert.equal(await relay.hasCaughtUp(), false);
    records.break('hang');
    assert.equal(await relay.hasCaughtUp(), false);
  });
});

describe('createRelayLag', () => {
  const error = new Error('connection refused');

  function relayLag() {
    const log = testLog();
    const notices: StoreNotice[] = [];
    const onNotice = (notice: StoreNotice) => notices.push(notice);
    const lag = createRelayLag({ logger: log, onNotice, maxLagMs: 60_000, maxBacklog: 500 });
    return { lag, lines: log.lines, notices };
  }

  it('tells once that usage does not reach the archive, and once when it has', () => {
    const { lag, lines, notices } = relayLag();
    lag.behind(5000, 1, error);
    lag.behind(64_999, 2, error);
    assert.deepEqual(lines, []);
    lag.behind(65_000, 3, error);
    lag.behind(66_000, 4, error);
    lag.caughtUp();
    lag.caughtUp();
    assert.deepEqual(lines, [
      'error: The usage of the ledger has not reached the records for 60 s, and waits there: connection refused',
      'warn: The usage of the ledger has reached the records again',
    ]);
    assert.deepEqual(notices, [{ type: 'usage_behind', sinceMs: 5000, backlog: 3 }]);
  });

  it('tells once that too much waits, however short the time, and later that it takes too long', () => {
    const { lag, lines, notices } = relayLag();
    lag.behind(5000, 499);
    lag.behind(6000, 500);
    lag.behind(7000, 900);
    lag.behind(65_000, 0, error);
    lag.caughtUp();
    lag.behind(70_000, 600);
    assert.deepEqual(lines, [
      'error: The usage of the ledger has not reached the records for 1 s, and 500 events of it wait there: more comes than is taken',
      'error: The usage of the ledger has not reached the records for 60 s, and waits there: connection refused',
      'warn: The usage of the ledger has reached the records again',
      'error: The usage of the ledger has not reached the records for 0 s, and 600 events of it wait there: more comes than is taken',
    ]);
    assert.deepEqual(
      notices.map((notice) => notice.type === 'usage_behind' && [notice.sinceMs, notice.backlog]),
      [
        [5000, 500],
        [5000, 0],
        [70_000, 600],
      ],
    );
  });
});
