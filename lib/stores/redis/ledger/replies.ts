import type { ChargedBudget, StoreNotice } from '../../store.ts';
import { unquoted } from '../records/names.ts';
import { readBudgetField, readScope } from './names.ts';

/** Steps of the clock that a script noticed: scope and window. */
export type Jumps = readonly (readonly [scope: string, window: string])[];

/** Budgets that a script charged: scope, field and what is spent now. */
export type ChargedFields = readonly (readonly [scope: string, field: string, spentNanoUsd: number])[];

export function chargedBudgets(fields: ChargedFields): readonly ChargedBudget[] {
  return fields.map(([scope, field, spentNanoUsd]) => ({
    scopeId: readScope(scope),
    ...readBudgetField(field),
    spentNanoUsd,
  }));
}

export function tellJumps(jumps: Jumps, notify: (notice: StoreNotice) => void): void {
  for (const [scope, window] of jumps) {
    notify({ type: 'clock_jump', scopeId: readScope(scope), limitId: unquoted(window) });
  }
}
