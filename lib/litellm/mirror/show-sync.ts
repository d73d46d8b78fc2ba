import type { ShownSync } from '../../keys/attached-mirror.ts';
import type { TwinRecord } from './twin-rows.ts';

/** How a key stands with its twin, without tokens and sealed secrets. */
export function showSync(twin: TwinRecord): ShownSync {
  const { state, entries, error, warnings, attempts, syncedAtMs } = twin;
  const alias = entries.findLast(({ aliasOf }) => aliasOf !== null)?.alias ?? entries.at(-1)?.alias ?? null;
  return {
    state,
    alias,
    ...(error !== null && { error }),
    warnings,
    attempts,
    ...(syncedAtMs !== null && { syncedAt: new Date(syncedAtMs).toISOString() }),
  };
}
