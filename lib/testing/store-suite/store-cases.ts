import { adjustmentCases } from './cases/adjustments.ts';
import { admissionCases } from './cases/admission.ts';
import { alertCases } from './cases/alerts.ts';
import { blockingCases } from './cases/blocking.ts';
import { budgetCases } from './cases/budgets.ts';
import { carryCases } from './cases/carries.ts';
import { chargedBudgetCases } from './cases/charged-budgets.ts';
import { clampingCases } from './cases/clamping.ts';
import { endingCases } from './cases/endings.ts';
import { extensionCases } from './cases/extensions.ts';
import { externalUsageCases } from './cases/external-usage.ts';
import { fenceCases } from './cases/fence.ts';
import { historyCases } from './cases/history.ts';
import { keyCases } from './cases/keys.ts';
import { leaseCases } from './cases/leases.ts';
import { listingCases } from './cases/listing.ts';
import { outboxCases } from './cases/outbox.ts';
import { ownerLimitCases } from './cases/owner-limit.ts';
import { policyCases } from './cases/policies.ts';
import { revisionCases } from './cases/revisions.ts';
import { seedingCases } from './cases/seeding.ts';
import { twinCases } from './cases/twins.ts';
import { usageCases } from './cases/usage.ts';
import { windowCases } from './cases/windows.ts';
import type { StoreCase } from './store-case.ts';

/**
 * What every store must do: sentences that are true of it, each with a `run` that rejects where it is not. A store that
 * is ours or yours passes all of them; one that keeps only records, or only the ledger, those of its role.
 *
 * ```ts
 * for (const { name, run } of storeCases) it(name, () => run(() => memoryStore()));
 * ```
 */
export const storeCases: readonly StoreCase[] = [
  ...keyCases,
  ...listingCases,
  ...ownerLimitCases,
  ...policyCases,
  ...historyCases,
  ...outboxCases,
  ...twinCases,
  ...alertCases,
  ...revisionCases,
  ...seedingCases,
  ...fenceCases,
  ...admissionCases,
  ...blockingCases,
  ...windowCases,
  ...budgetCases,
  ...clampingCases,
  ...endingCases,
  ...leaseCases,
  ...extensionCases,
  ...carryCases,
  ...adjustmentCases,
  ...usageCases,
  ...externalUsageCases,
  ...chargedBudgetCases,
];
