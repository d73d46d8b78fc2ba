// Making the service, and what it stands on.

export type { ErrorCode, Problem, RefusalCode } from './errors.ts';
// What may go wrong.
export {
  AliasTakenError,
  FencePendingError,
  ForbiddenError,
  InvalidRequestError,
  KeyNotFoundError,
  KeyRevokedError,
  LiteLLMError,
  LlmKeysError,
  OwnerKeyLimitError,
  PayloadTooLargeError,
  QuotaLimitsExceededError,
  StoreUnavailableError,
  TooManyFailedAttemptsError,
  UnauthorizedError,
  UnsupportedMediaTypeError,
  VersionConflictError,
} from './errors.ts';
// Types, by task: keys and policies, calls and usage, options of what is mounted, writing a store.
export type { LlmContext } from './http/context.ts';
// Mounting it into an Express app.
export { getLlm } from './http/context.ts';
export type { EstimateInput } from './http/demand.ts';
export { llmErrorHandler } from './http/error-handler.ts';
export type { LlmGuardOptions } from './http/guard.ts';
export { llmGuard } from './http/guard.ts';
export { meteredFetch } from './http/metered-fetch.ts';
export type { RateLimitOptions } from './http/rate-limit.ts';
export { rateLimit } from './http/rate-limit.ts';
export type { HeaderFamily } from './http/rate-limit-headers.ts';
export type { RecordUsageOptions } from './http/record-usage.ts';
export { recordUsage } from './http/record-usage.ts';
export { RefusedError } from './http/refuse.ts';
export type { RequireApiKeyOptions } from './http/require-api-key.ts';
export { requireApiKey } from './http/require-api-key.ts';
export type { RequireModelAccessOptions } from './http/require-model-access.ts';
export { requireModelAccess } from './http/require-model-access.ts';
export type { RouteEntry } from './http/route.ts';
export type { AdminTarget, Authorize } from './http/router/admin-call.ts';
export type { KeysRouterOptions } from './http/router/keys-router.ts';
export { keysRouter } from './http/router/keys-router.ts';
export type { AdminAction, Grant, Role } from './http/router/roles.ts';
export { createVirtualKeys } from './keys/create-virtual-keys.ts';
export type { AdmitInput, AdmitResult, ExtendInput, Remaining } from './keys/direct-admissions.ts';
export type { KeyEventName, KeyEvents, ShownUsageEvent } from './keys/events.ts';
export type { KeyChange, KeyHook } from './keys/hooks.ts';
export type { BudgetInput, DefaultsInput, KeyInput, KeyPatch, LimitsInput, PolicyInput } from './keys/key-input.ts';
export { type RotatedKey, RotationPendingError } from './keys/pending-fence.ts';
export type { CreateVirtualKeysOptions } from './keys/service-options.ts';
export type { KeySettings, Policy, VirtualKey } from './keys/shown-key.ts';
export type { UsageInput } from './keys/usage-input.ts';
export type { KeyStatus, PolicyRecord, VirtualKeyRecord } from './keys/virtual-key.ts';
export type * from './keys/virtual-keys.ts';
export type * from './limits/limit.ts';
export type { CombinableLedger, CombinableRecords, Fence } from './stores/combinable.ts';
export type { CombineStoresOptions } from './stores/combined/combine-stores.ts';
export { combineStores } from './stores/combined/combine-stores.ts';
export type { MemoryStoreOptions } from './stores/memory/memory-store.ts';
export { memoryStore } from './stores/memory/memory-store.ts';
export type * from './stores/store.ts';
export type { PriceBook, PriceBookOptions, PriceEntry } from './usage/pricing.ts';
export { priceBook } from './usage/pricing.ts';
export type * from './usage/usage.ts';
