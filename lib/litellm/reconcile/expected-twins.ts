import type { VirtualKeyRecord } from '../../keys/virtual-key.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import { type NamedSecret, namedSecret } from '../mirror/named-secret.ts';
import type { TwinEntry, TwinRecord } from '../mirror/twin-rows.ts';
import { markName } from '../twin/wanted-twin.ts';

/** A twin that should be there now. */
export interface ExpectedTwin extends NamedSecret {
  readonly entry: TwinEntry;
}

/** The twins of the secrets that are good, as far as the mirror has heard of them. */
export function expectedTwins(
  record: VirtualKeyRecord,
  twin: TwinRecord | undefined,
  nowMs: number,
): readonly ExpectedTwin[] {
  return (twin?.entries ?? []).flatMap((entry): readonly ExpectedTwin[] => {
    const named = namedSecret(record, entry, nowMs);
    return named === undefined ? [] : [{ entry, ...named }];
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
