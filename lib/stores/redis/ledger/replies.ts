import type { ScopeId } from '../../../limits/limit.ts';
import type { ChargedBudget, StoreNotice } from '../../store.ts';
import { readField } from './names.ts';

/** Steps of the clock that a script noticed: position of a scope, from 1, and field of a window. */
export type Jumps = readonly (readonly [position: number, field: string])[];

/** Budgets that a script charged: position of a scope, from 1, field, and what is spent now. */
export type ChargedFields = readonly (readonly [position: number, field: string, spentNanoUsd: number])[];

export function chargedBudgets(fields: ChargedFields, scopeIds: readonly ScopeId[]): readonly ChargedBudget[] {
  return fields.map(([position, field, spentNanoUsd]) => {
    const { id, periodStartMs } = readField(field);
    return { scopeId: scopeAt(position, scopeIds), budgetId: id, periodStartMs, spentNanoUsd };
  });
}

export function tellJumps(jumps: Jumps, scopeIds: readonly ScopeId[], notify: (notice: StoreNotice) => void): void {
  for (const [position, field] of jumps) {
    notify({ type: 'clock_jump', scopeId: scopeAt(position, scopeIds), limitId: readField(field).id });
  }
}

export function scopeAt(position: number, scopeIds: readonly ScopeId[]): ScopeId {
  const scopeId = scopeIds[position - 1];
  if (scopeId === undefined) throw new RangeError(`A script named scope ${position} of ${scopeIds.length}`);
  return scopeId;
}
