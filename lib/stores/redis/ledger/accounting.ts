import { adjustmentEvent } from '../../../ledger/usage-lines.ts';
import type { AdmissionPlan, ScopeId } from '../../../limits/limit.ts';
import type { UsageEvent } from '../../../usage/usage.ts';
import type { Adjustment, ChargedBudget, ScopeBalance } from '../../store.ts';
import { unquoted } from '../records/names.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { lineOf, sumsKeys } from './lines.ts';
import { budgetField, readBudgetField } from './names.ts';
import { quotedAll } from './plans.ts';
import { type ChargedFields, chargedBudgets, type Jumps, tellJumps } from './replies.ts';

type AccountReply = readonly [state: 'done' | 'already', spentNanoUsd: number, ChargedFields];
type BalanceReply =
  | readonly [
      Jumps,
      revision: number,
      openHolds: number,
      windows: readonly (readonly [id: string, windowMs: number, used: number])[],
      budgets: readonly (readonly [field: string, spentNanoUsd: number, heldNanoUsd: number])[],
    ]
  | null;

const accountScript = ledgerScript<AccountReply>('ledger-counters', 'ledger-usage', 'account');
const balancesScript = ledgerScript<BalanceReply>('ledger-counters', 'balances');

/** What stands for a cost that the script alone knows: no number of an event is like it. */
const unknownCost = Number.MIN_SAFE_INTEGER;

/** Money that comes or goes without a hold, and how counters stand. */
export function createAccounting(context: LedgerContext, now: () => Promise<number>) {
  const { names, notify, usage } = context;

  async function account(id: string, event: UsageEvent, scopeIds: readonly ScopeId[], act: object) {
    const home = names.homeOf({ subject: event });
    const keys = [
      names.mark(home, id),
      names.usage(home),
      names.days(home),
      ...sumsKeys(names, home, event),
      ...scopeIds.map(names.scope),
    ];
    const common = { scopeIds: quotedAll(scopeIds), usage, line: lineOf(event) };
    return runAct(context, accountScript, keys, { ...common, ...act });
  }

  async function balance(scopeId: ScopeId): Promise<readonly ScopeBalance[]> {
    const act = { scopeIds: quotedAll([scopeId]) };
    const reply = await runAct(context, balancesScript, [names.scope(scopeId)], act);
    if (reply === null) return [];
    const [jumps, revision, openHolds, windows, budgets] = reply;
    tellJumps(jumps, notify);
    return [
      {
        scopeId,
        revision,
        openHolds,
        windows: windows.map(([id, windowMs, used]) => ({ id: unquoted(id), windowMs, used })),
        budgets: budgets.map(([field, spentNanoUsd, heldNanoUsd]) => ({
          ...readBudgetField(field),
          spentNanoUsd,
          heldNanoUsd,
        })),
      },
    ];
  }

  return {
    async adjust({ id, scopeId, budgets, subject }: Adjustment) {
      const event = adjustmentEvent(id, subject, unknownCost, await now());
      const [before = '', after = ''] = JSON.stringify(event).split(String(unknownCost));
      const asked = budgets.map(({ budgetId, periodStartMs }) => ({
        scope: 1,
        field: budgetField(budgetId, periodStartMs),
      }));
      const [state, spentNanoUsd] = await account(`adjusted ${id}`, event, [scopeId], {
        before,
        after,
        budgets: asked,
      });
      if (state === 'already') return { state: 'already', adjustedNanoUsd: 0 } as const;
      return { state: 'adjusted', adjustedNanoUsd: spentNanoUsd } as const;
    },

    async record(
      event: UsageEvent,
      plan: AdmissionPlan,
    ): Promise<{ readonly state: 'recorded' | 'already'; readonly charged: readonly ChargedBudget[] }> {
      const { costNanoUsd } = event;
      const budgets = plan.limits.flatMap((limit) =>
        limit.measure === 'budget'
          ? [
              {
                scope: limit.scopeIndex + 1,
                field: budgetField(limit.id, limit.periodStartMs),
                ends: limit.periodEndMs ?? -1,
              },
            ]
          : [],
      );
      const scopeIds = plan.scopes.map(({ scopeId }) => scopeId);
      const id = JSON.stringify([event.holdId, event.callId]);
      const [state, , charged] = await account(id, event, scopeIds, { budgets, costNanoUsd });
      return { state: state === 'done' ? 'recorded' : 'already', charged: chargedBudgets(charged) };
    },

    async balances(scopeIds: readonly ScopeId[]): Promise<readonly ScopeBalance[]> {
      return (await Promise.all(scopeIds.map(balance))).flat();
    },
  };
}
