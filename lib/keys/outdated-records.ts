import { createGenerations } from '../generations.ts';
import { type ScopeId, scopeKind } from '../limits/limit.ts';
import type { Logger } from '../stores/store.ts';
import type { Events } from './events.ts';

const againAfterMs = 60_000;

export interface OutdatedRecordsOptions {
  readonly events: Pick<Events, 'emit'>;
  readonly logger: Logger;
  readonly now: () => number;
}

/**
 * Tells of a record that is older than the ledger knows it, as after a backup was restored: once a minute, however many
 * calls it denies.
 */
export function createOutdatedRecords({ events, logger, now }: OutdatedRecordsOptions): (scopeId: ScopeId) => void {
  const toldAtMs = createGenerations<number>({ maxSize: 10_000 });
  return (scopeId) => {
    const nowMs = now();
    const told = toldAtMs.get(scopeId);
    if (told !== undefined && nowMs >= told && nowMs - told < againAfterMs) return;
    toldAtMs.set(scopeId, nowMs, nowMs);
    const scope = scopeKind(scopeId);
    const remedy = scope === 'key' ? 'keys.repair puts it in force' : 'it is set again';
    logger.error(
      `The record of ${scopeId} is older than the ledger knows it, as after a restored backup or on the prefix of ` +
        `another store; it denies until ${remedy}`,
    );
    events.emit('record.outdated', { scope, id: scope === 'global' ? '' : scopeId.slice(scope.length + 1) });
  };
}
