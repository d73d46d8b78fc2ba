import { refuseUnknownOptions } from '../../options.ts';
import { isReconcilePolicy, type ReconcilePolicy, reconcilePolicies } from '../mirror/mirror-options.ts';
import type { TwinField } from '../twin/differences.ts';
import type { ReconcileContext } from './context.ts';
import { type Finding, judgeStrays, judgeSuspects } from './judge.ts';
import { mendAll, removeStrays } from './mend.ts';
import { checkOnProgress, createProgress, type OnProgress } from './progress.ts';
import { survey } from './survey.ts';
import type { ListedKey } from './walk.ts';

export interface ReconcileOptions {
  /** Only tells what is not equal. @defaultValue false */
  readonly dryRun?: boolean | undefined;
  /**
   * `ours`: twins become what their keys are, and twins without a key are removed where the mirror was given a
   * `deploymentId` and LiteLLM has twins of keys that are here. `theirs`: keys become what their twins are, as far as their maximums let them. `report`: as `dryRun`.
   *
   * @defaultValue the mirror's
   */
  readonly policy?: ReconcilePolicy | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A field in which a twin is not what its key says. */
export interface ReportedDifference {
  readonly keyId: string;
  readonly field: TwinField;
  readonly ours: unknown;
  readonly theirs: unknown;
}

export interface ReconcileReport {
  /** How many keys of ours were looked at. */
  readonly checked: number;
  /** Ids of keys whose secret LiteLLM does not know. */
  readonly missing: readonly string[];
  /** Aliases of twins of this deployment that have no key. */
  readonly extra: readonly string[];
  readonly different: readonly ReportedDifference[];
  /** Ids of keys that are equal on both sides by now, and aliases of twins that were removed. */
  readonly mended: readonly string[];
}

export type Reconcile = (options?: ReconcileOptions) => Promise<ReconcileReport>;

/**
 * Compares all keys with all twins. A call for each hundred keys of LiteLLM, one for each that looks different, and what
 * mending takes. What LiteLLM lists is kept in memory meanwhile, about a kilobyte a key.
 */
export function createReconcile(context: ReconcileContext, usualPolicy: ReconcilePolicy): Reconcile {
  return async (options = {}) => {
    const { dryRun, policy, onProgress } = checkOptions(options, usualPolicy);
    const progress = createProgress(onProgress);
    await context.learn();
    const surveyed = await survey(context, progress);
    const findings = await judgeSuspects(context, surveyed, progress);
    const strays = await judgeStrays(context, unfound(surveyed.strays, findings));
    const changes = dryRun || policy === 'report' ? null : policy;
    const mended = changes === null ? [] : await mendAll(context, findings, { policy: changes, progress });
    const removes = changes === 'ours' && context.isNamed && surveyed.hasTwins;
    const removed = new Set(removes ? await removeStrays(context, strays) : []);
    return {
      checked: surveyed.checked,
      missing: findings.filter(({ isMissing }) => isMissing).map(({ record }) => record.id),
      extra: strays.map(aliasOf),
      different: findings.flatMap(({ record, differences }) =>
        differences.map((difference) => ({ keyId: record.id, ...difference })),
      ),
      mended: [...mended, ...strays.filter(({ token }) => removed.has(token)).map(aliasOf)],
    };
  };
}

/** Those that were not found to be the twin of a key of which the mirror did not know. */
function unfound(strays: readonly ListedKey[], findings: readonly Finding[]): readonly ListedKey[] {
  const found = new Set(findings.map(({ unclaimed }) => unclaimed));
  return strays.filter(({ token }) => !found.has(token));
}

function aliasOf({ key_alias }: ListedKey): string {
  return key_alias ?? '(without alias)';
}

function checkOptions(options: ReconcileOptions, usualPolicy: ReconcilePolicy) {
  refuseUnknownOptions('reconcile', options, ['dryRun', 'policy', 'onProgress']);
  const { dryRun = false, policy = usualPolicy, onProgress } = options;
  if (typeof dryRun !== 'boolean') throw new TypeError('reconcile: dryRun must be true or false');
  if (!isReconcilePolicy(policy)) {
    throw new TypeError(`reconcile: policy must be one of ${reconcilePolicies.join(', ')}`);
  }
  checkOnProgress('reconcile', onProgress);
  return { dryRun, policy, onProgress };
}
