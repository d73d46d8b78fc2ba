import type { AlertQuery, AlertRow } from './store.ts';

/** Whether an alert is one of those that a query asks for. */
export function matchesAlert(row: AlertRow, { types, scopeIds, ownerIds, teamIds }: AlertQuery): boolean {
  return (
    isAmong(row.type, types) &&
    isAmong(row.scopeId, scopeIds) &&
    isAmong(row.ownerId, ownerIds) &&
    isAmong(row.teamId, teamIds)
  );
}

function isAmong<T>(value: T | null, values: readonly T[] | undefined): boolean {
  return values === undefined || (value !== null && values.includes(value));
}
