import type { BudgetCarry, ScopeId } from '../../../limits/limit.ts';
import type { Fence } from '../../combinable.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { dayMs } from './lines.ts';
import { budgetField } from './names.ts';
import type { FenceCopies } from './spread/fence-copies.ts';

const fenceScript = ledgerScript<'fenced' | 'already' | 'unknown'>(
  'ledger-time',
  'ledger-windows',
  'ledger-scopes',
  'ledger-periods',
  'fence',
);

/** How long the counters of a removed record are kept for late settlements. */
const closedRetentionMs = 2 * dayMs;

/** Makes scopes known, and raises their fences. */
export function createFencing(context: LedgerContext, copies: FenceCopies) {
  const { names } = context;

  function raise(scopeId: ScopeId, act: object): Promise<'fenced' | 'already' | 'unknown'> {
    const keys = [names.scope(scopeId), names.nonce(scopeId)];
    return runAct(context, fenceScript, keys, [], JSON.stringify({ retentionMs: closedRetentionMs, ...act }));
  }

  return {
    async fence(fence: Fence): Promise<{ readonly state: 'fenced' | 'already' | 'unknown' }> {
      const { scopeId, revision, isNew, isClosed, carries } = fence;
      const raised = raise(scopeId, { revision, isNew, isClosed, carries: carries.map(carryOf) });
      const [state] = await Promise.all([raised, copies.copyToAll(scopeId, revision)]);
      return { state };
    },

    async seed(
      scopeId: ScopeId,
      nonce: string,
      revision: number,
      openings: readonly BudgetCarry[],
    ): Promise<{ readonly state: 'seeded' | 'superseded' }> {
      const state = await raise(scopeId, { nonce, revision, carries: openings.map(carryOf) });
      return { state: state === 'fenced' ? 'seeded' : 'superseded' };
    },
  };
}

function carryOf({ budgetId, periodStartMs, periodEndMs, from, openingNanoUsd }: BudgetCarry) {
  return {
    field: budgetField(budgetId, periodStartMs),
    ends: periodEndMs ?? -1,
    from: from === null ? undefined : budgetField(from.budgetId, from.periodStartMs),
    opening: openingNanoUsd,
  };
}
