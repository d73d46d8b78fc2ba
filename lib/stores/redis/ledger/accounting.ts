import { adjustmentEvent } from '../../../ledger/usage-lines.ts';
import type { AdmissionPlan, ScopeId } from '../../../limits/limit.ts';
import type { UsageEvent } from '../../../usage/usage.ts';
import type { Adjustment, ChargedBudget, ScopeBalance } from '../../store.ts';
import { type LedgerContext, ledgerScript, runAct } from './acts.ts';
import { lineOf, sumsKeys } from './lines.ts';
import { budgetField, readField } from './names.ts';
import { type ChargedFields, chargedBudgets, type Jumps, tellJumps } from './replies.ts';

type AccountReply = readonly [state: 'done' | 'already', spentNanoUsd: number, ChargedFields];
type BalanceReply =
  | readonly [
      Jumps,
      revision: number,
      openHolds: number,
      windows: readonly (readonly [field: string, used: number])[],
      budgets: readonly (readonly [field: string, spentNanoUsd: number, heldNanoUsd: number])[],
    ]
  | null;

const accountScript = ledgerScript<AccountReply>(
  'ledger-time',
  'ledger-windows',
  'ledger-scopes',
  'ledger-periods',
  'ledger-usage',
  'account',
);
const balancesScript = ledgerScript<BalanceReply>('ledger-time', 'ledger-windows', 'ledger-scopes', 'balances');

/** What stands for a cost that the script alone knows: no number of an event is like it. */
const unknownCost = Number.MIN_SAFE_INTEGER;

/** Money that comes or goes without a hold, and how counters stand. */
export function createAccounting(context: LedgerContext, now: () => Promise<number>) {
  const { names, notify, usageBounds } = context;

  async function account(id: string, event: UsageEvent, scopeIds: readonly ScopeId[], act: object) {
    const home = names.homeOf({ subject: event });
    const keys = [
      names.mark(home, id),
      names.usage(home),
      names.days(home),
      ...sumsKeys(names, home, event),
      ...scopeIds.map(names.scope),
    ];
    const told = { scopes: scopeIds.length, line: lineOf(event), ...act };
    return runAct(context, accountScript, keys, [], ...usageBounds, JSON.stringify(told));
  }

  async function balance(scopeId: ScopeId): Promise<readonly ScopeBalance[]> {
    const reply = await runAct(context, balancesScript, [names.scope(scopeId)], []);
    if (reply === null) return [];
    const [jumps, revision, openHolds, windows, budgets] = reply;
    tellJumps(jumps, [scopeId], notify);
    return [
      {
        scopeId,
        revision,
        openHolds,
        windows: windows.map(([field, used]) => {
          const { id, windowMs } = readField(field);
          return { id, windowMs, used };
        }),
        budgets: budgets.map(([field, spentNanoUsd, heldNanoUsd]) => {
          const { id, periodStartMs } = readField(field);
          return { budgetId: id, periodStartMs, spentNanoUsd, heldNanoUsd };
        }),
      },
    ];
  }

  return {
    async adjust({ id, scopeId, budgets, subject }: Adjustment) {
      const event = adjustmentEvent(id, subject, unknownCost, await now());
      const [before = '', after = ''] = JSON.stringify(event).split(String(unknownCost));
      const asked = budgets.map(({ budgetId, periodStartMs }) => ({
        position: 1,
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
                position: limit.scopeIndex + 1,
                field: budgetField(limit.id, limit.periodStartMs),
                ends: limit.periodEndMs ?? -1,
              },
            ]
          : [],
      );
      const scopeIds = plan.scopes.map(({ scopeId }) => scopeId);
      const id = JSON.stringify([event.holdId, event.callId]);
      const [state, , charged] = await account(id, event, scopeIds, { budgets, cost: costNanoUsd });
      return { state: state === 'done' ? 'recorded' : 'already', charged: chargedBudgets(charged, scopeIds) };
    },

    async balances(scopeIds: readonly ScopeId[]): Promise<readonly ScopeBalance[]> {
      return (await Promise.all(scopeIds.map(balance))).flat();
    },
  };
}
