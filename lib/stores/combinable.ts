/**
 * What a store offers besides the contract so that it can be one half of a combined store: records in one, counters in
 * another. No act spans both; what one half committed waits in it until the other has heard of it.
 */
import type { BudgetCarry, ScopeId } from '../limits/limit.ts';
import type { UsageEvent } from '../usage/usage.ts';
import type { Store } from './store.ts';

/** A change of a record that the ledger of another store has yet to hear of. */
export interface Fence {
  /** Of the row. */
  readonly id: string;
  readonly scopeId: ScopeId;
  readonly revision: number;
  /** The record was inserted by this change: the ledger may know the scope from now on, without being seeded. */
  readonly isNew: boolean;
  /** The record is gone: nothing is admitted under the scope any more. */
  readonly isClosed: boolean;
  readonly carries: readonly BudgetCarry[];
}

/** Keeps the records of a combined store, the fences that are not yet raised, and the archive of usage. */
export interface CombinableRecords extends Store {
  /** Fences that changes with `ledger: 'other'` have left, oldest first. */
  pendingFences(limit: number): Promise<readonly Fence[]>;
  /** Removes fences that were raised. */
  clearFences(ids: readonly string[]): Promise<void>;
  /** The mark up to which the other ledger's usage is kept here, an opaque text; `null`: nothing yet. */
  archivedUntil(): Promise<string | null>;
  /**
   * Keeps usage of the other ledger, one line for each (hold, call) of which the latest stands, and moves the mark in the
   * same act. `overtaken`: the mark was not `from` any more, and nothing was kept.
   */
  archiveUsage(
    events: readonly UsageEvent[],
    mark: { readonly from: string | null; readonly to: string },
  ): Promise<{ readonly state: 'archived' | 'overtaken' }>;
}

/** Keeps the counters of a combined store. */
export interface CombinableLedger extends Store {
  /**
   * Raises the fence of a scope and carries its budgets over, in one act; `already`: this fence or a later one was raised.
   * A call that was judged by the change, or by a later one, may have brought its revision before the fence came: budgets
   * carry over all the same, and what such calls spent counts besides. Fences of one scope come in their order. A scope that the ledger does not know is made known by a record that is new, or closed by one that
   * is removed. One that stays unknown cannot be seeded any more with a nonce that was given before.
   */
  fence(fence: Fence): Promise<{ readonly state: 'fenced' | 'already' | 'unknown' }>;
  /** Forgets usage events up to this cursor of `usageEvents`: they are kept elsewhere. */
  trimUsage(until: string): Promise<void>;
  /** How many usage events are there that were not forgotten. Where there are more than `atMost`, it may stop counting. */
  countUsage(atMost: number): Promise<number>;
}
