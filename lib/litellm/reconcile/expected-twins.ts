import type { VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import type { TwinEntry, TwinRecord } from '../mirror/twin-rows.ts';
import { markName } from '../twin/wanted-twin.ts';

/** A twin that should be there now. */
export interface ExpectedTwin {
  readonly entry: TwinEntry;
  /** The one of the secret before the last rotation may be gone. */
  readonly isCurrent: boolean;
  readonly endsAtMs: number | null;
}

/** The twins of the secrets that are good, as far as the mirror has heard of them. */
export function expectedTwins(
  record: VirtualKeyRecord,
  twin: TwinRecord | undefined,
  nowMs: number,
): readonly ExpectedTwin[] {
  if (record.revokedAtMs !== null || twin === undefined) return [];
  const { secretHash, previousSecret } = record;
  return twin.entries.flatMap((entry): readonly ExpectedTwin[] => {
    if (entry.secretHash === secretHash) return [{ entry, isCurrent: true, endsAtMs: null }];
    if (previousSecret === null || previousSecret.endsAtMs <= nowMs) return [];
    const isPrevious = entry.secretHash === previousSecret.secretHash;
    return isPrevious ? [{ entry, isCurrent: false, endsAtMs: previousSecret.endsAtMs }] : [];
  });
}

/** Whose a key of LiteLLM says that it is; `undefined`: it says nothing, and was made by somebody else. */
export function readMark(key: Pick<LiteLLMKey, 'metadata'>): TwinOwner | undefined {
  const mark = key.metadata[markName];
  if (typeof mark !== 'object' || mark === null) return undefined;
  const { key_id, deployment_id } = mark as { readonly [name: string]: unknown };
  if (typeof deployment_id !== 'string') return undefined;
  return { keyId: typeof key_id === 'string' ? key_id : null, deploymentId: deployment_id };
}

export interface TwinOwner {
  readonly keyId: string | null;
  readonly deploymentId: string;
}
