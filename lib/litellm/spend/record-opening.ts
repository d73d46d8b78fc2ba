import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import type { PulledSpend, TwinRows } from '../mirror/twin-rows.ts';

/** Adds what was spent with an imported key before it was ours to its usage, once. */
export type RecordOpening = (keyId: string) => Promise<void>;

interface Secret {
  readonly token: string;
  readonly pulled: PulledSpend | null;
}

export function createRecordOpening({ recordUsage }: Pick<VirtualKeys, 'recordUsage'>, rows: TwinRows): RecordOpening {
  return async (keyId) => {
    const twin = await rows.find(keyId);
    for (const { token, pulled } of [...(twin?.entries ?? []), ...(twin?.parted ?? [])]) {
      if (pulled === null || pulled.openingUsd === null) continue;
      await recordUsage({ id: `litellm-opening:${keyId}`, keyId, costUsd: pulled.openingUsd });
      const noted = <S extends Secret>(secret: S): S =>
        secret.token === token && secret.pulled !== null
          ? { ...secret, pulled: { ...secret.pulled, openingUsd: null } }
          : secret;
      await rows.change(keyId, (current) => ({
        ...current,
        entries: current.entries.map(noted),
        parted: current.parted.map(noted),
      }));
    }
  };
}
