import type { Store, VirtualKeys } from '../../../lib/index.ts';
import type { KeyInput } from '../../../lib/keys/key-input.ts';
import { newTwin } from '../../../lib/litellm/mirror/twin-rows.ts';
import { twinSettings } from '../../../lib/litellm/twin/twin-settings.ts';
import { wantedTwin } from '../../../lib/litellm/twin/wanted-twin.ts';
import type { FakeLiteLLM } from './fake-litellm.ts';
import { tokenOf } from './token-of.ts';

export interface PlantedKey {
  readonly id: string;
  readonly secret: string;
  readonly token: string;
}

export interface PlantOptions {
  /** Without a mirror. */
  readonly keys: VirtualKeys;
  readonly store: Store;
  readonly fake: FakeLiteLLM;
  readonly deploymentId: string;
}

/** Many keys that are equal on both sides, as a mirror leaves them, without the calls that it takes to make them. */
export async function plantKeys(
  { keys, store, fake, deploymentId }: PlantOptions,
  input: KeyInput,
  count: number,
): Promise<readonly PlantedKey[]> {
  const nowMs = Date.now();
  const options = {
    deploymentId,
    limits: 'twin',
    models: 'all',
    isEnterprise: false,
    served: [],
    groups: [],
    nowMs,
  } as const;
  const planted: PlantedKey[] = [];
  for (let at = 0; at < count; at += 1) {
    const { key, secret } = await keys.create(input);
    const token = tokenOf(secret);
    const wanted = wantedTwin({ key, status: key.status, endsAtMs: null }, options);
    fake.plant(secret, { ...twinSettings(wanted, key.alias, { nowMs }) });
    const names = { secretHash: token, token, alias: key.alias, aliasOf: key.alias };
    const entry = { ...names, sealed: null, preparedUntilMs: null, pulled: null };
    const { version, keyId, state: _, ...details } = { ...newTwin(key.id), entries: [entry], syncedAtMs: nowMs };
    await store.putTwin({ keyId, state: 'synced', details, version: version + 1 });
    planted.push({ id: key.id, secret, token });
  }
  return planted;
}
