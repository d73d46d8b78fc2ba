/** `express-llm-keys/litellm`: the admin API of a LiteLLM proxy, and keys that are good there as well. */
export { LiteLLMError } from '../errors.ts';
export {
  createLiteLLMClient,
  type LiteLLMClient,
  type LiteLLMClientOptions,
  type LiteLLMHealth,
} from './client/client.ts';
export type { LiteLLMKeyQuery, LiteLLMKeySettings, LiteLLMKeys } from './client/keys.ts';
export type {
  LiteLLMKey,
  LiteLLMKeyPage,
  LiteLLMModel,
  LiteLLMSpend,
  LiteLLMTeam,
  LiteLLMUser,
} from './client/replies.ts';
export { type Mirror, mirrorToLiteLLM } from './mirror/mirror.ts';
export type { MirrorOptions, ReconcilePolicy } from './mirror/mirror-options.ts';
export { createVault, type SecretVault } from './vault.ts';
