import { archiveCases } from './cases/archive.ts';
import { foreignFenceCases } from './cases/foreign-fences.ts';
import { pendingFenceCases } from './cases/pending-fences.ts';
import type { CombinableCase } from './combinable-case.ts';

/**
 * What a store must do besides {@link storeCases} to be one half of a combined store: those of the role `records` to keep
 * its records, those of the role `ledger` to keep its counters.
 */
export const combinableCases: readonly CombinableCase[] = [...pendingFenceCases, ...archiveCases, ...foreignFenceCases];
