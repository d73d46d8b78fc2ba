/** `express-llm-keys/litellm`: the admin API of a LiteLLM proxy, and keys that are good there as well. */
export { LiteLLMError } from '../errors.ts';
export {
  createLiteLLMClient,
  type LiteLLMClient,
  type LiteLLMClientOptions,
  type LiteLLMHealth,
  type LiteLLMSpendQuery,
  type SendListener,
} from './client/client.ts';
export type { LiteLLMKeyQuery, LiteLLMKeySettings, LiteLLMKeys } from './client/keys.ts';
export type {
  LiteLLMKey,
  LiteLLMKeyPage,
  LiteLLMModel,
  LiteLLMSpend,
  LiteLLMSpendPage,
  LiteLLMTeam,
  LiteLLMUser,
} from './client/replies.ts';
export type { ImportKeys, ImportOptions, ImportReport, SkippedKey } from './import/import-keys.ts';
export { type Mirror, mirrorToLiteLLM } from './mirror/mirror.ts';
export type { MirrorOptions, ReconcilePolicy } from './mirror/mirror-options.ts';
export type { OnProgress, Progress } from './reconcile/progress.ts';
export type { Reconcile, ReconcileOptions, ReconcileReport, ReportedDifference } from './reconcile/reconcile.ts';
export type { PullSpend, PullSpendOptions, PullSpendReport } from './spend/pull-spend.ts';
export { createVault, type SecretVault } from './vault.ts';
