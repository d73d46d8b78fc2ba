import { FencePendingError } from '../../errors.ts';
import type { BudgetCarry, ScopeId } from '../../limits/limit.ts';
import type { CombinableLedger, CombinableRecords, Fence } from '../combinable.ts';
import type { WithDeadline } from '../deadline.ts';
import type { Logger } from '../store.ts';
import { createRounds } from './rounds.ts';

const atOnce = 100;

export interface FencesOptions {
  readonly records: CombinableRecords;
  readonly ledger: CombinableLedger;
  readonly withDeadline: WithDeadline;
  readonly logger: Logger;
}

/** Carries fences from the records to the ledger. */
export interface Fences {
  /** Resolves when the fences that this scope has left are raised. @throws FencePendingError where they are not yet */
  raised(scopeId: ScopeId): Promise<void>;
  /** Raises what is pending, as far as the ledger answers. */
  raisePending(): Promise<void>;
}

/** What a round could not raise. */
interface Round {
  readonly stuck: ReadonlyMap<ScopeId, unknown>;
  /** There may be more, which it has not come to. */
  readonly isCut: boolean;
}

export function createFences({ records, ledger, withDeadline, logger }: FencesOptions): Fences {
  const round = createRounds(async (): Promise<Round> => {
    const stuck = new Map<ScopeId, unknown>();
    for (;;) {
      const fences = await records.pendingFences(atOnce);
      const nonsense = fences.filter((fence) => !isFence(fence));
      for (const { scopeId } of nonsense) {
        logger.error(
          `A fence of ${JSON.stringify(scopeId)} cannot be read, and is dropped: change its record once more`,
        );
      }
      const byScope = groupByScope(fences.filter(isFence));
      const raised = nonsense.map(({ id }) => id);
      await Promise.all(
        [...byScope].map(async ([scopeId, ofScope]) => {
          try {
            // A later one must not overtake an earlier one: it would carry over budgets that are not there yet.
            for (const fence of ofScope) {
              await withDeadline(ledger.fence(fence));
              raised.push(fence.id);
            }
          } catch (error) {
            stuck.set(scopeId, error);
          }
        }),
      );
      // They are in force. Should the rows stay, they are raised once more, which changes nothing.
      if (raised.length > 0) await records.clearFences(raised).catch(() => undefined);
      const isCut = fences.length === atOnce;
      if (!isCut || stuck.size > 0 || raised.length === 0) return { stuck, isCut };
    }
  });

  return {
    async raised(scopeId) {
      const { stuck, isCut } = await round().catch((cause: unknown) => {
        throw new FencePendingError({ cause });
      });
      if (stuck.has(scopeId) || isCut) throw new FencePendingError({ cause: stuck.get(scopeId) });
    },
    async raisePending() {
      await round();
    },
  };
}

/** People edit rows by hand. One that no ledger can raise would hold up every later change of its scope. */
function isFence({ scopeId, revision, carries }: Fence): boolean {
  return (
    /^(global$|(key|user|team):.)/s.test(scopeId) &&
    isAmount(revision) &&
    Array.isArray(carries) &&
    carries.every(isCarry)
  );
}

function isCarry(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { budgetId, from, periodStartMs, periodEndMs, openingNanoUsd } = value as Partial<BudgetCarry>;
  return (
    typeof budgetId === 'string' &&
    (from === null || (typeof from?.budgetId === 'string' && Number.isSafeInteger(from.periodStartMs))) &&
    Number.isSafeInteger(periodStartMs) &&
    (periodEndMs === null || Number.isSafeInteger(periodEndMs)) &&
    isAmount(openingNanoUsd)
  );
}

function isAmount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function groupByScope(fences: readonly Fence[]): ReadonlyMap<ScopeId, readonly Fence[]> {
  const byScope = new Map<ScopeId, Fence[]>();
  for (const fence of fences) {
    const ofScope = byScope.get(fence.scopeId);
    if (ofScope === undefined) byScope.set(fence.scopeId, [fence]);
    else ofScope.push(fence);
  }
  return byScope;
}
