import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import { refuseUnknownOptions } from '../../options.ts';
import type { LiteLLMClient } from '../client/client.ts';
import type { EveryModel } from '../twin/model-names.ts';
import { discreetVault, type SecretVault } from '../vault.ts';

/** Which side is right where a twin differs: `report` changes neither. */
export type ReconcilePolicy = 'ours' | 'theirs' | 'report';

export const reconcilePolicies: readonly ReconcilePolicy[] = ['ours', 'theirs', 'report'];

export function isReconcilePolicy(text: string): text is ReconcilePolicy {
  return reconcilePolicies.some((policy) => policy === text);
}

export interface MirrorOptions {
  readonly keys: VirtualKeys;
  readonly client: LiteLLMClient;
  /**
   * Tells the twins of this deployment from those of others on the same LiteLLM: another name for each database of keys.
   * Twins without a key are removed only where it is given. @defaultValue 'default'
   */
  readonly deploymentId?: string | undefined;
  /**
   * What creating and rotating does while LiteLLM is down: `refuse` it, or `queue` the new secret in the vault.
   * @defaultValue 'refuse'
   */
  readonly whenDown?: 'refuse' | 'queue' | undefined;
  /** Keeps secrets that wait; needed for `whenDown: 'queue'`. */
  readonly vault?: SecretVault | undefined;
  /** What `*` is there: LiteLLM's own every model, or the list of those that it serves. @defaultValue 'all' */
  readonly models?: EveryModel | undefined;
  /** `ours`: twins have no limits, since every call passes through us. @defaultValue 'twin' */
  readonly limits?: 'twin' | 'ours' | undefined;
  /** For {@link Mirror.reconcile}. @defaultValue 'ours' */
  readonly policy?: ReconcilePolicy | undefined;
  /**
   * How long a key belongs to the process that brings it to LiteLLM; more than twice the client's `timeoutMs`.
   * @defaultValue 60,000, or three times the client's timeout
   */
  readonly leaseMs?: number | undefined;
}

export interface CheckedMirrorOptions {
  readonly keys: VirtualKeys;
  readonly client: LiteLLMClient;
  readonly deploymentId: string;
  /** Whether twins without a key may be removed. */
  readonly isNamed: boolean;
  /** Opens secrets that wait. */
  readonly vault: SecretVault | undefined;
  /** Whether new secrets may wait. */
  readonly queues: boolean;
  readonly models: EveryModel;
  readonly limits: 'twin' | 'ours';
  readonly policy: ReconcilePolicy;
  readonly leaseMs: number;
}

const where = 'mirrorToLiteLLM';
const names = ['keys', 'client', 'deploymentId', 'whenDown', 'vault', 'models', 'limits', 'policy', 'leaseMs'];

/** @throws TypeError for an option that is unknown, missing, or of no use */
export function checkMirrorOptions(options: MirrorOptions): CheckedMirrorOptions {
  refuseUnknownOptions(where, options, names);
  const { keys, client, deploymentId = 'default', whenDown = 'refuse', vault } = options;
  const { models = 'all', limits = 'twin', policy = 'ours' } = options;
  if (typeof client?.keysUntil !== 'function') {
    throw new TypeError(`${where}: client must be what createLiteLLMClient() returned`);
  }
  if (typeof deploymentId !== 'string' || !/^[\x21-\x7e]{1,64}$/.test(deploymentId)) {
    throw new TypeError(`${where}: deploymentId must be 1 to 64 printable characters without spaces`);
  }
  expectOneOf('whenDown', whenDown, ['refuse', 'queue']);
  expectOneOf('models', models, ['all', 'listed']);
  expectOneOf('limits', limits, ['twin', 'ours']);
  expectOneOf('policy', policy, reconcilePolicies);
  if (vault !== undefined && (typeof vault?.seal !== 'function' || typeof vault.open !== 'function')) {
    throw new TypeError(`${where}: vault must have seal() and open()`);
  }
  if (whenDown === 'queue' && vault === undefined) {
    throw new TypeError(`${where}: whenDown 'queue' needs a vault, in which secrets wait unreadable`);
  }
  const leaseMs = options.leaseMs ?? Math.max(60_000, client.timeoutMs * 3);
  if (!Number.isSafeInteger(leaseMs) || leaseMs <= client.timeoutMs * 2) {
    throw new TypeError(`${where}: leaseMs must be more than twice the client's timeoutMs of ${client.timeoutMs}`);
  }
  const isNamed = options.deploymentId !== undefined;
  const discreet = vault === undefined ? undefined : discreetVault(vault);
  const queues = whenDown === 'queue';
  return { keys, client, deploymentId, isNamed, vault: discreet, queues, models, limits, policy, leaseMs };
}

function expectOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw new TypeError(`${where}: ${name} must be one of ${allowed.join(', ')}`);
}
