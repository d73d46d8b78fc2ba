import assert from 'node:assert/strict';
import type { Limits } from '../../../limits/limit.ts';
import type { Hold } from '../../../stores/store.ts';
import { type Caller, createKnownCaller, keyScope, keyWith } from '../caller.ts';
import { seededRandom } from '../random.ts';
import { standingOf } from '../standing.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { dayMs, hourMs, minuteMs, secondMs } from '../test-clock.ts';

const kinds: readonly { readonly id: string; readonly limits: Partial<Limits>; readonly windowMs: number }[] = [
  { id: 'rpm', limits: { rpmLimit: 5 }, windowMs: minuteMs },
  { id: 'tpm', limits: { tpmLimit: 50 }, windowMs: minuteMs },
  { id: 'rpd', limits: { rpdLimit: 5 }, windowMs: dayMs },
  { id: 'tpd', limits: { tpdLimit: 50 }, windowMs: dayMs },
];

async function windowsOf({ store }: Session): Promise<{ readonly [id: string]: number }> {
  return (await standingOf(store, keyScope)).windows;
}

interface Arrival {
  readonly atMs: number;
  amount: number;
  readonly hold: Hold;
}

/**
 * Random calls over 20 windows, many more than fit, with settlements at less than was taken. A log of every call is the
 * judge: the ledger admits what fits beside all of the last 61 cells, and so no window of any alignment is passed.
 */
async function judgeTraffic(
  { clock }: Session,
  caller: Caller,
  { limit, windowMs, seed }: { limit: number; windowMs: number; seed: number },
): Promise<void> {
  const random = seededRandom(seed);
  const cellMs = windowMs / 60;
  const untilMs = clock.now() + 20 * windowMs;
  const log: Arrival[] = [];
  const open: Arrival[] = [];
  const sumSince = (fromMs: number) => log.reduce((sum, { atMs, amount }) => (atMs >= fromMs ? sum + amount : sum), 0);

  while (clock.now() < untilMs) {
    const isPause = random() < 0.02;
    clock.advance(Math.floor(random() * (isPause ? windowMs : windowMs / limit)));
    const amount = 1 + Math.floor(random() * 3);
    const verdict = await caller.admit({ tokens: amount, leaseMs: 30 * windowMs });
    const inGrid = sumSince((Math.floor(clock.now() / cellMs) - 60) * cellMs);
    assert.equal(verdict.outcome, inGrid + amount <= limit ? 'admitted' : 'refused');
    if (verdict.outcome === 'admitted') {
      const arrival = { atMs: clock.now(), amount, hold: verdict.hold };
      log.push(arrival);
      open.push(arrival);
      assert.ok(sumSince(clock.now() - windowMs + 1) <= limit, 'a window is over its limit');
    }
    const [ended] = random() < 0.3 ? open.splice(Math.floor(random() * open.length), 1) : [];
    if (ended === undefined) continue;
    ended.amount = Math.floor(random() * (ended.amount + 1));
    await caller.settle(ended.hold, { outputTokens: ended.amount });
  }
  assert.ok(log.length > limit * 5, 'too few calls for a judgement');
}

export const windowCases: readonly StoreCase[] = [
  ...kinds.map(({ id, limits, windowMs }) =>
    storeCase(
      'ledger',
      `a call that ${id} refuses is admitted at the time it was told, and not before`,
      async (session) => {
        const caller = await createKnownCaller(session, keyWith(limits));
        session.clock.advance(windowMs / 8);
        const admittedAtMs = session.clock.now();
        for (let call = 0; call < 5; call += 1) {
          await caller.hold({ tokens: 10, leaseMs: 2 * windowMs });
          session.clock.advance(windowMs / 100);
        }
        const { by, retryAfterMs } = await caller.refused({ tokens: 10 });
        assert.equal(by, `${keyScope}/${id}`);
        const cellMs = windowMs / 60;
        const leavesAtMs = (Math.floor(admittedAtMs / cellMs) + 61) * cellMs;
        assert.equal(retryAfterMs, leavesAtMs - session.clock.now());
        session.clock.advance(leavesAtMs - session.clock.now() - 1);
        assert.equal((await caller.refused({ tokens: 10 })).retryAfterMs, 1);
        session.clock.advance(1);
        await caller.hold({ tokens: 10 });
      },
    ),
  ),

  storeCase('ledger', 'the wait is for as many cells as the call needs', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 100 }));
    for (const tokens of [10, 20, 30, 40]) {
      await caller.hold({ tokens });
      session.clock.advance(10 * secondMs);
    }
    const waits = [];
    for (const tokens of [1, 10, 11, 30, 31, 60, 61, 100]) waits.push((await caller.refused({ tokens })).retryAfterMs);
    const [first, second, third, fourth] = [21_000, 31_000, 41_000, 51_000];
    assert.deepEqual(waits, [first, first, second, second, third, third, fourth, fourth]);
  }),

  storeCase('ledger', 'five calls at the end of a minute leave none for the beginning of the next', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 5 }));
    session.clock.advance(59 * secondMs);
    for (let call = 0; call < 5; call += 1) await caller.hold();
    session.clock.advance(2 * secondMs);
    assert.equal((await caller.refused()).retryAfterMs, 59 * secondMs);
  }),

  ...[11, 12, 13].map((seed) =>
    storeCase('ledger', `no minute is over its tokens under random traffic, seed ${seed}`, async (session) => {
      const caller = await createKnownCaller(session, keyWith({ tpmLimit: 20 }));
      await judgeTraffic(session, caller, { limit: 20, windowMs: minuteMs, seed });
    }),
  ),

  storeCase('ledger', 'no 24 hours are over their tokens under random traffic', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpdLimit: 20 }));
    await judgeTraffic(session, caller, { limit: 20, windowMs: dayMs, seed: 21 });
  }),

  storeCase('ledger', 'tokens above the estimate count from the moment they are known', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 250 }));
    const hold = await caller.hold({ tokens: 100 });
    session.clock.advance(30 * secondMs);
    await caller.settle(hold, { inputTokens: 100, outputTokens: 200 });
    assert.deepEqual(await windowsOf(session), { tpm: 300 });
    assert.equal((await caller.refused({ tokens: 1 })).retryAfterMs, 31 * secondMs);
    session.clock.advance(31 * secondMs);
    assert.deepEqual(await windowsOf(session), { tpm: 200 });
    session.clock.advance(30 * secondMs);
    assert.deepEqual(await windowsOf(session), {});
  }),

  storeCase('ledger', 'tokens below the estimate go back to the moment in which they were taken', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 10, tpmLimit: 250 }));
    const [first, second] = [await caller.hold({ tokens: 100 }), await caller.hold({ tokens: 50 })];
    session.clock.advance(30 * secondMs);
    await caller.hold({ tokens: 100 });
    await caller.settle(first, { inputTokens: 10 });
    await caller.settle(second);
    assert.deepEqual(await windowsOf(session), { rpm: 3, tpm: 110 });
    session.clock.advance(31 * secondMs);
    assert.deepEqual(await windowsOf(session), { rpm: 1, tpm: 100 });
  }),

  storeCase('ledger', 'tokens of a call that has left the window are not given back again', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 250 }));
    const hold = await caller.hold({ tokens: 100 });
    session.clock.advance(61 * secondMs);
    await caller.hold({ tokens: 70 });
    await caller.settle(hold, { inputTokens: 10 });
    assert.deepEqual(await windowsOf(session), { tpm: 70 });
  }),

  storeCase('ledger', 'a cancelled call stays counted as a request, and its tokens are given back', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 2, tpmLimit: 100 }));
    await session.store.cancel(await caller.hold({ tokens: 100 }));
    assert.deepEqual(await windowsOf(session), { rpm: 1 });
    await caller.hold({ tokens: 100 });
    assert.equal((await caller.refused()).by, `${keyScope}/rpm`);
  }),

  storeCase('ledger', 'a clock that steps back a little admits nothing more, and nothing is lost', async (session) => {
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 100 }));
    await caller.hold({ tokens: 60 });
    session.clock.advance(-20 * secondMs);
    const early = await caller.hold({ tokens: 40 });
    assert.equal((await caller.refused({ tokens: 1 })).retryAfterMs, 81 * secondMs);
    await caller.settle(early, { outputTokens: 40 });
    session.clock.advance(81 * secondMs);
    await caller.hold({ tokens: 100 });
  }),

  storeCase(
    'ledger',
    'a clock one hour forward and back over-admits nothing, and the window recovers',
    async (session) => {
      const { clock, notices } = session;
      const caller = await createKnownCaller(session, keyWith({ rpmLimit: 5 }));
      for (let call = 0; call < 5; call += 1) await caller.hold();
      clock.advance(hourMs);
      for (let call = 0; call < 5; call += 1) await caller.hold();
      clock.advance(-hourMs);
      assert.equal((await caller.refused()).retryAfterMs, 61 * secondMs);
      const jumps = notices.filter(({ type }) => type === 'clock_jump');
      assert.deepEqual(jumps, [{ type: 'clock_jump', scopeId: keyScope, limitId: 'rpm' }]);
      clock.advance(61 * secondMs);
      for (let call = 0; call < 5; call += 1) await caller.hold();
      assert.equal((await caller.admit()).outcome, 'refused');
    },
  ),

  storeCase('ledger', 'a settlement after a step of the clock takes nothing that others hold', async (session) => {
    const { clock } = session;
    const caller = await createKnownCaller(session, keyWith({ tpmLimit: 100 }));
    clock.advance(hourMs);
    const ahead = await caller.hold({ tokens: 60, leaseMs: 2 * hourMs });
    clock.advance(-hourMs);
    const behind = await caller.hold({ tokens: 40, leaseMs: 2 * hourMs });
    await caller.settle(ahead);
    assert.deepEqual(await windowsOf(session), { tpm: 100 });
    await caller.settle(behind);
    const { tpm = 0 } = await windowsOf(session);
    assert.ok(tpm >= 0 && tpm <= 100, `${tpm} tokens count`);
    clock.advance(61 * secondMs);
    assert.deepEqual(await windowsOf(session), {});
  }),
];
