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

  function account(shard: number, id: string, event: UsageEvent, scopeIds: readonly ScopeId[], act: object) {
    const keys = [
      names.mark(shard, id),
      names.usage(shard),
      names.days(shard),
      ...sumsKeys(names, shard, event),
      ...scopeIds.map(names.scope),
    ];
    const told = { scopes: scopeIds.length, ...act };
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
      const act = { line: lineOf(event), before, after, budgets: asked };
      const [state, spentNanoUsd] = await account(names.shardOf(scopeId), `adjusted ${id}`, event, [scopeId], act);
      if (state === 'already') return { state: 'already', adjustedNanoUsd: 0 } as const;
      return { state: 'adjusted', adjustedNanoUsd: spentNanoUsd } as const;
    },

    async record(
      event: UsageEvent,
      plan: AdmissionPlan,
    ): Promise<{ readonly state: 'recorded' | 'already'; readonly charged: readonly ChargedBudget[] }> {
      const home = names.homeOf({ subject: event });
      const id = JSON.stringify([event.holdId, event.callId]);
      const shards = new Set([home, ...plan.scopes.map(({ scopeId }) => names.shardOf(scopeId))]);
      // Each shard does its part once. The home is first: a repetition goes on where one broke off.
      const charged: ChargedBudget[] = [];
      let isNew = false;
      for (const shard of shards) {
        const scopeIds = plan.scopes.flatMap(({ scopeId }) => (names.shardOf(scopeId) === shard ? [scopeId] : []));
        const line = shard === home ? lineOf(event) : undefined;
        const act = { line, cost: event.costNanoUsd, budgets: chargedOf(plan, scopeIds) };
        const [state, , fields] = await account(shard, id, event, scopeIds, act);
        charged.push(...chargedBudgets(fields, scopeIds));
        if (shard === home) isNew = state === 'done';
      }
      return { state: isNew ? 'recorded' : 'already', charged };
    },

    async balances(scopeIds: readonly ScopeId[]): Promise<readonly ScopeBalance[]> {
      return (await Promise.all(scopeIds.map(balance))).flat();
    },
  };
}

/** The budgets of a plan that these scopes have, by the position of their scope. */
function chargedOf({ limits }: AdmissionPlan, scopeIds: readonly ScopeId[]) {
  return limits.flatMap((limit) => {
    const position = scopeIds.indexOf(limit.scopeId) + 1;
    if (limit.measure !== 'budget' || position === 0) return [];
    return [{ position, field: budgetField(limit.id, limit.periodStartMs), ends: limit.periodEndMs ?? -1 }];
  });
}
