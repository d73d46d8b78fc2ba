import type { KeyMaximums } from '../../keys/key-input.ts';
import type { SecretFormat } from '../../keys/secret.ts';
import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import type { Store } from '../../stores/store.ts';
import type { LiteLLMClient } from '../client/client.ts';
import type { LookNow } from '../mirror/look-now.ts';
import type { TwinRows } from '../mirror/twin-rows.ts';
import type { TwinWriter } from '../mirror/twin-writer.ts';
import type { TwinOptions } from '../twin/wanted-twin.ts';

/** What reconciling uses of a mirror. */
export interface ReconcileContext {
  readonly keys: VirtualKeys;
  readonly store: Pick<Store, 'listKeys' | 'findKey' | 'readOutbox'>;
  readonly client: LiteLLMClient;
  readonly rows: TwinRows;
  readonly writer: Pick<TwinWriter, 'remove'>;
  readonly now: () => number;
  readonly deploymentId: string;
  /** Whether twins without a key may be removed. */
  readonly isNamed: boolean;
  readonly maximums: () => Promise<KeyMaximums>;
  readonly hashesOfDigest: SecretFormat['hashesOfDigest'];
  readonly twinOptions: () => Promise<TwinOptions>;
  /** Asks anew what LiteLLM is, and which models it serves. */
  readonly learn: () => Promise<void>;
  /** Looks at a key now, here or wherever it is being looked at; answers what is known of its twin then. */
  readonly lookNow: LookNow;
}
