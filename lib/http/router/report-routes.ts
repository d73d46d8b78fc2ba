import type { Router } from 'express';
import type { KeyListFilter, UsageSums, VirtualKeys } from '../../keys/virtual-keys.ts';
import { usd } from '../../usage/money.ts';
import type { AdminHandlers } from './admin-call.ts';
import { onlyMethods } from './answers.ts';
import { findVisible, keyTarget } from './key-routes.ts';
import { alertsOf, auditOf, filterOf, pageOf, queryOf, usageOf } from './query.ts';
import { forbiddenAction, isUnbounded } from './roles.ts';

/** What keys consumed, who changed them, and what to know of. */
export function addReportRoutes(router: Router, keys: VirtualKeys, admin: AdminHandlers): void {
  const usage = admin('keys.usage', keyTarget, async (call, { keyId }) => {
    const key = await findVisible(keys, call, keyId);
    const { days, groupBy } = usageOf(queryOf(call.req));
    const { totals, rows } = await keys.usage({ keyId, days, groupBy });
    call.res.json({
      keyId,
      days,
      totals,
      rows,
      averagePerRequest: averagePerRequest(totals),
      budgetUsedPercent: key.budgetUtilization,
    });
  });

  const keyAudit = admin('keys.audit', keyTarget, async (call, { keyId }) => {
    await findVisible(keys, call, keyId);
    const query = queryOf(call.req);
    call.res.json(await keys.audit({ keyId, action: query.get('action') ?? undefined }, pageOf(query)));
  });

  const audit = admin(
    'audit.read',
    () => null,
    async ({ req, res, scope, grant }) => {
      // Rows don't tell whose key they are about, so who sees some keys only reads the rows of each.
      if (!isUnbounded(scope)) throw forbiddenAction(grant, 'audit.read', ' for all keys');
      const query = queryOf(req);
      res.json(await keys.audit(auditOf(query), pageOf(query)));
    },
  );

  const alerts = admin(
    'alerts.read',
    () => null,
    async ({ req, res, scope }) => {
      const query = queryOf(req);
      res.json(await keys.alerts(alertsOf(query, scope), pageOf(query)));
    },
  );

  const stats = admin(
    'stats.read',
    () => null,
    async ({ req, res, scope }) => {
      const { ownerId, teamId } = filterOf(queryOf(req), scope);
      const [counts, keysByModel, { totals, rows }] = await Promise.all([
        keys.count({ ownerId, teamId }),
        countByModel(keys, { ownerId, teamId }),
        keys.usage({ ownerId, teamId, groupBy: ['model'] }),
      ]);
      const models = Array.from(keysByModel, ([model, count]) => ({ model, keys: count }));
      res.json({ keys: counts, models, usage: { totals, byModel: rows } });
    },
  );

  router.route('/stats').get(stats).all(onlyMethods('GET'));
  router.route('/alerts').get(alerts).all(onlyMethods('GET'));
  router.route('/audit').get(audit).all(onlyMethods('GET'));
  router.route('/:id/usage').get(usage).all(onlyMethods('GET'));
  router.route('/:id/audit').get(keyAudit).all(onlyMethods('GET'));
}

function averagePerRequest({ requests, totalTokens, costUsd }: UsageSums) {
  if (requests === 0) return { tokens: 0, costUsd: 0 };
  // Sums may be more than an amount taken at once may be.
  const costNanoUsd = Math.round((costUsd * 1e9) / requests);
  return { tokens: totalTokens / requests, costUsd: usd(costNanoUsd) };
}

/** How many keys list each model, by name. */
async function countByModel(keys: VirtualKeys, filter: KeyListFilter): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  let cursor: string | null | undefined;
  do {
    const { items, nextCursor } = await keys.list(filter, { limit: 100, ...(cursor && { cursor }) });
    for (const model of items.flatMap(({ models }) => models)) counts.set(model, (counts.get(model) ?? 0) + 1);
    cursor = nextCursor;
  } while (cursor !== null);
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}
