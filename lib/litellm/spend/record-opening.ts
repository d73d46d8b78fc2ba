import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import type { TwinRows } from '../mirror/twin-rows.ts';

/** Adds what was spent with an imported key before it was ours to its usage, once. */
export type RecordOpening = (keyId: string) => Promise<void>;

export function createRecordOpening({ recordUsage }: Pick<VirtualKeys, 'recordUsage'>, rows: TwinRows): RecordOpening {
  return async (keyId) => {
    const twin = await rows.find(keyId);
    for (const { token, pulled } of twin?.entries ?? []) {
      if (pulled === null || pulled.openingUsd === null) continue;
      await recordUsage({ id: `litellm-opening:${keyId}`, keyId, costUsd: pulled.openingUsd });
      await rows.change(keyId, (current) => ({
        ...current,
        entries: current.entries.map((entry) =>
          entry.token === token && entry.pulled !== null
            ? { ...entry, pulled: { ...entry.pulled, openingUsd: null } }
            : entry,
        ),
      }));
    }
  };
}
