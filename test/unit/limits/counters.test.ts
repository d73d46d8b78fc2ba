import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  type Correction,
  carryBudget,
  correct,
  createCounters,
  findBudget,
  openBudget,
  periodRetentionMs,
  pruneBudgets,
  type ScopeCounters,
} from '../../../lib/limits/counters.ts';
import type { Take } from '../../../lib/limits/limit.ts';

const hourMs = 3_600_000;
const nowMs = Date.UTC(2026, 0, 15, 12);

function budgetTake(periodStartMs: number): Take {
  return { scopeId: 'key:a', id: 'main', measure: 'budget', windowMs: 0, periodStartMs };
}

function settling(heldNanoUsd: number, spentNanoUsd: number): Correction {
  return { takenAtMs: nowMs, countedTokens: 0, tokens: 0, heldNanoUsd, spentNanoUsd };
}

function openAt({ budgets }: ScopeCounters): readonly number[] {
  return budgets.map(({ periodStartMs }) => (periodStartMs - nowMs) / hourMs);
}

const inOrder = { nowMs, isOvertaken: false };

describe('carryBudget', () => {
  it('makes no money free, none negative and none stuck, however often the period is changed', () => {
    const step = fc.record({
      kind: fc.constantFrom('hold', 'settle', 'carry', 'carry', 'prune'),
      amount: fc.nat(9),
      which: fc.nat(9),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
        const counters = createCounters('key:a', 1);
        const open: { take: Take; held: number }[] = [];
        let current = 0;
        let spent = 0;
        for (const { kind, amount, which } of steps) {
          const period = { periodStartMs: current * hourMs, periodEndMs: null };
          if (kind === 'hold') {
            openBudget(counters, 'main', period, nowMs).heldNanoUsd += amount;
            open.push({ take: budgetTake(current * hourMs), held: amount });
          } else if (kind === 'settle') {
            const [settled] = open.splice(which, 1);
            if (settled === undefined) continue;
            correct(counters, settled.take, settling(settled.held, amount), nowMs);
            spent += amount;
          } else if (kind === 'carry') {
            const from = { budgetId: 'main', periodStartMs: current * hourMs };
            current = which;
            const target = { budgetId: 'main', periodStartMs: current * hourMs, periodEndMs: null };
            carryBudget(counters, { ...target, from, openingNanoUsd: spent }, inOrder);
          } else pruneBudgets(counters, nowMs, periodRetentionMs);
          const live = findBudget(counters, 'main', current * hourMs);
          const held = open.reduce((sum, hold) => sum + hold.held, 0);
          assert.deepEqual([live?.spentNanoUsd ?? 0, live?.heldNanoUsd ?? 0], [spent, held]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('opens a new budget with what the usage record says', () => {
    const counters = createCounters('team:red', 1);
    const period = { periodStartMs: 0, periodEndMs: null };
    carryBudget(counters, { budgetId: 'main', from: null, ...period, openingNanoUsd: 7 }, inOrder);
    assert.equal(findBudget(counters, 'main', 0)?.spentNanoUsd, 7);
    carryBudget(counters, { budgetId: 'main', from: null, ...period, openingNanoUsd: 5 }, inOrder);
    assert.equal(findBudget(counters, 'main', 0)?.spentNanoUsd, 7);
  });

  it('moves the end of a period that begins where it did, and nothing else', () => {
    const counters = createCounters('key:a', 1);
    const period = { periodStartMs: nowMs, periodEndMs: nowMs + hourMs };
    openBudget(counters, 'main', period, nowMs).spentNanoUsd = 3;
    const from = { budgetId: 'main', periodStartMs: nowMs };
    const carry = { budgetId: 'main', from, ...period, periodEndMs: nowMs + 9 * hourMs, openingNanoUsd: 50 };
    carryBudget(counters, carry, inOrder);
    const [budget] = counters.budgets;
    assert.deepEqual([budget?.spentNanoUsd, budget?.periodEndMs, budget?.movedTo], [3, nowMs + 9 * hourMs, null]);
  });
});

describe('openBudget', () => {
  it('forgets periods that ended more than a day ago, so that counters stay few', () => {
    const counters = createCounters('key:a', 1);
    for (let hour = 0; hour < 1000; hour += 1) {
      const periodStartMs = nowMs + hour * hourMs;
      openBudget(counters, 'main', { periodStartMs, periodEndMs: periodStartMs + hourMs }, periodStartMs);
    }
    assert.equal(counters.budgets.length, 25);
    assert.equal(counters.budgets.at(-1)?.periodStartMs, nowMs + 999 * hourMs);
  });

  it('keeps periods under which something is held, and budgets without an end', () => {
    const counters = createCounters('key:a', 1);
    const lastMs = nowMs + 100 * hourMs;
    openBudget(counters, 'main', { periodStartMs: nowMs, periodEndMs: nowMs + hourMs }, nowMs).heldNanoUsd = 1;
    openBudget(counters, 'life', { periodStartMs: 0, periodEndMs: null }, nowMs).spentNanoUsd = 5;
    openBudget(counters, 'main', { periodStartMs: lastMs, periodEndMs: lastMs + hourMs }, lastMs);
    assert.deepEqual(openAt(counters), [0, -nowMs / hourMs, 100]);
  });
});

describe('correct', () => {
  it('opens the counter of the current period again where it was lost', () => {
    const counters = createCounters('key:a', 1);
    correct(counters, budgetTake(nowMs), settling(0, 4), nowMs);
    assert.equal(findBudget(counters, 'main', nowMs)?.spentNanoUsd, 4);
  });

  it('opens no counter of a period that others have followed', () => {
    const counters = createCounters('key:a', 1);
    openBudget(counters, 'main', { periodStartMs: nowMs, periodEndMs: nowMs + hourMs }, nowMs);
    correct(counters, budgetTake(nowMs - hourMs), settling(0, 4), nowMs);
    assert.deepEqual(openAt(counters), [0]);
  });

  it('leaves requests and slots alone', () => {
    const counters = createCounters('key:a', 1);
    counters.openHolds = 2;
    const { scopeId, windowMs, periodStartMs } = budgetTake(0);
    for (const measure of ['requests', 'concurrency'] as const) {
      correct(counters, { scopeId, id: 'x', measure, windowMs, periodStartMs }, settling(1, 1), nowMs);
    }
    assert.deepEqual(counters, { ...createCounters('key:a', 1), openHolds: 2 });
  });
});
