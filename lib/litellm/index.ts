/** `express-llm-keys/litellm`: the admin API of a LiteLLM proxy. */
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
