import { createHash } from 'node:crypto';
import { createGenerations } from '../generations.ts';
import type { Limits, ScopeId } from '../limits/limit.ts';
import { budgetPeriod } from '../limits/plan.ts';
import { inBackground } from '../stores/answered.ts';
import type { Alert, AlertRow, ChargedBudget, ScopeBalance, Store } from '../stores/store.ts';
import type { UsageSubject } from '../usage/usage.ts';
import { reachedThreshold, watchedBudgets } from './budget-thresholds.ts';
import type { Principal, Principals } from './principals.ts';
import { createRepeatedActs } from './repeated-acts.ts';
import type { Retries } from './retries.ts';
import type { StoreState } from './store-state.ts';

/** Alerts that this process knows to be told: they are not told to the store again with each further call. */
const maxTold = 100_000;
/** The most models of one key that have alerts of their own on one day; further ones share the name `other`. */
const maxModelsOfKey = 50;
const dayMs = 86_400_000;

export type CallAlertType = Exclude<Alert['type'], 'budget.warning' | 'budget.exceeded'>;

/** Tells operators what they should know of, each thing once. Works in the background, and never fails a call. */
export interface Alerts {
  /**
   * Looks whether a budget has reached a threshold. It is asked what was spent, not what this act added: so a threshold
   * that was passed unseen, by a lower limit or by a process that died, is noticed with the next call.
   */
  onCharged(keyId: string, charged: readonly ChargedBudget[]): void;
  /** As {@link Alerts.onCharged}, where the answer that told how these budgets stand was lost: the ledger is asked again. */
  onChargedUnheard(keyId: string, budgets: readonly BudgetName[]): void;
  /** One alert for each key, model and UTC day, however many calls there are. */
  onCall(type: CallAlertType, subject: Pick<UsageSubject, 'keyId' | 'ownerId' | 'teamId' | 'model'>): void;
}

export type BudgetName = Omit<ChargedBudget, 'spentNanoUsd'>;

export interface AlertsOptions {
  readonly store: Store;
  readonly principals: Principals;
  readonly retries: Retries;
  readonly now: () => number;
  readonly circuits: StoreState;
  /** A new one was stored. */
  readonly onAlert: (row: AlertRow) => void;
}

export function createAlerts({ store, principals, retries, now, circuits, onAlert }: AlertsOptions): Alerts {
  const acts = createRepeatedActs({ circuit: circuits.records, now });
  const told = createGenerations<true>({ maxSize: maxTold });
  const modelsOfKeys = createGenerations<Set<string | null>>({ maxSize: maxTold });

  function tell(name: string, alert: () => Omit<Alert, 'id'>): void {
    if (told.get(name) !== undefined) return;
    told.set(name, true, now());
    // Names of users and teams may be anything, and an id goes into headers.
    const id = createHash('sha256').update(name).digest('base64url');
    const named = { ...alert(), id };
    const insert = () =>
      acts.ask({
        name: id,
        send: () => store.insertAlert(named),
        isDoneNow: ({ outcome }) => outcome === 'inserted',
        hear(answer, isNews) {
          if (isNews) onAlert(answer.outcome === 'inserted' ? answer.row : { ...named, atMs: now() });
        },
      });
    inBackground(() => retries.run(insert, () => told.delete(name)));
  }

  function look(principal: Principal, charged: readonly ChargedBudget[]): void {
    for (const { scopeId, budgetId, periodStartMs, spentNanoUsd } of charged) {
      const record = recordOf(principal, scopeId);
      const budget = record && watchedBudgets(record).get(budgetId);
      const threshold = budget && reachedThreshold(budget, spentNanoUsd);
      if (record === undefined || budget === undefined || threshold === undefined) continue;
      const { type, amountNanoUsd, percent } = threshold;
      tell(`${type}/${scopeId}/${budgetId}/${periodStartMs}/${amountNanoUsd}`, () => ({
        type,
        scopeId,
        ...belongings(principal, scopeId),
        keyId: principal.key.id,
        model: budget.model,
        budget: {
          name: budget.name,
          limitNanoUsd: budget.limit,
          thresholdNanoUsd: amountNanoUsd,
          percent,
          spentNanoUsd,
          resetAtMs: budgetPeriod(budget, record.createdAtMs, periodStartMs).endMs,
        },
      }));
    }
  }

  function countedModel(keyId: string, day: number, model: string | null): string | null {
    const name = `${keyId}/${day}`;
    const models = modelsOfKeys.get(name) ?? new Set();
    if (models.size >= maxModelsOfKey && !models.has(model)) return 'other';
    modelsOfKeys.set(name, models.add(model), now());
    return model;
  }

  const alerts: Alerts = {
    onCharged(keyId, charged) {
      if (charged.length === 0) return;
      const cached = principals.findCached(keyId);
      if (cached !== undefined) return look(cached, charged);
      const find = async () => {
        const principal = await principals.findById(keyId);
        if (principal !== undefined) look(principal, charged);
      };
      inBackground(() => retries.run(find));
    },
    onChargedUnheard(keyId, budgets) {
      if (budgets.length === 0) return;
      const scopeIds = [...new Set(budgets.map(({ scopeId }) => scopeId))];
      const find = async () => {
        const balances = await circuits.ledger.insist(() => store.balances(scopeIds));
        alerts.onCharged(keyId, standingOf(balances, budgets));
      };
      inBackground(() => retries.run(find));
    },
    onCall(type, { keyId, ownerId, teamId, model }) {
      const day = Math.floor(now() / dayMs);
      const named = countedModel(keyId, day, model);
      const scopeId: ScopeId = `key:${keyId}`;
      tell(`${type}/${keyId}/${day}/${named}`, () => ({
        type,
        scopeId,
        ownerId,
        teamId,
        keyId,
        model: named,
        budget: null,
      }));
    },
  };
  return alerts;
}

/** Those of the budgets that there are still, as they stand. */
function standingOf(balances: readonly ScopeBalance[], names: readonly BudgetName[]): readonly ChargedBudget[] {
  return balances.flatMap(({ scopeId, budgets }) =>
    budgets.flatMap(({ budgetId, periodStartMs, spentNanoUsd }) => {
      const isNamed = names.some(
        (name) => name.scopeId === scopeId && name.budgetId === budgetId && name.periodStartMs === periodStartMs,
      );
      return isNamed ? [{ scopeId, budgetId, periodStartMs, spentNanoUsd }] : [];
    }),
  );
}

function recordOf({ key, policies }: Principal, scopeId: ScopeId): (Limits & { createdAtMs: number }) | undefined {
  if (scopeId === `key:${key.id}`) return key;
  return policies.find((over) => over.scopeId === scopeId)?.policy ?? undefined;
}

/** Whose the scope is. A budget over a user counts calls of many teams, and one over a team those of many users. */
function belongings({ key }: Principal, scopeId: ScopeId): Pick<Alert, 'ownerId' | 'teamId'> {
  return {
    ownerId: scopeId.startsWith('key:') || scopeId.startsWith('user:') ? key.ownerId : null,
    teamId: scopeId.startsWith('key:') || scopeId.startsWith('team:') ? key.teamId : null,
  };
}
