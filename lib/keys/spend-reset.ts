import { randomUUID } from 'node:crypto';
import { KeyNotFoundError } from '../errors.ts';
import { budgetPeriod } from '../limits/plan.ts';
import type { Actor } from '../stores/store.ts';
import { auditEntry } from './audit.ts';
import { checkActor } from './change-options.ts';
import type { ServiceContext } from './service-context.ts';
import type { VirtualKey } from './shown-key.ts';
import { spendFirst } from './spend.ts';

/** Sets the spend of a key to zero by an audited adjustment. What is held stays held, and settles in full. */
export function createSpendReset({ store, hooks, events, now, withDeadline, shown, findRecord }: ServiceContext) {
  return async function resetSpend(id: string, actor?: Actor): Promise<VirtualKey> {
    checkActor(actor);
    const record = await findRecord(id);
    if (record === undefined) throw new KeyNotFoundError();
    const nowMs = now();
    const budgets = spendFirst(record).map((budget) => ({
      budgetId: budget.id,
      periodStartMs: budgetPeriod(budget, record.createdAtMs, nowMs).startMs,
    }));
    const before = await shown(record);
    const { ownerId, teamId } = record;
    const adjustment = {
      id: randomUUID(),
      scopeId: `key:${id}`,
      budgets,
      subject: { keyId: id, ownerId, teamId, model: null, endpoint: null },
      audit: auditEntry('key.spend_reset', `key:${id}`, actor, { spend: before.spend }, { spend: 0 }),
    } as const;
    await hooks.around({ action: 'resetSpend', key: before, before, secret: null }, () =>
      withDeadline(store.adjust(adjustment)),
    );
    const key = await shown(record);
    events.emit('key.updated', { key, before });
    return key;
  };
}
