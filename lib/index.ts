// Making the service, and what it stands on.

// What may go wrong.
export {
  AliasTakenError,
  ForbiddenError,
  InvalidRequestError,
  KeyNotFoundError,
  KeyRevokedError,
  LlmKeysError,
  OwnerKeyLimitError,
  PayloadTooLargeError,
  QuotaLimitsExceededError,
  StoreUnavailableError,
  UnauthorizedError,
  UnsupportedMediaTypeError,
  VersionConflictError,
} from './errors.ts';
// Mounting it into an Express app.
export { getLlm } from './http/context.ts';
export { llmErrorHandler } from './http/error-handler.ts';
export { llmGuard } from './http/guard.ts';
export { meteredFetch } from './http/metered-fetch.ts';
export { rateLimit } from './http/rate-limit.ts';
export { recordUsage } from './http/record-usage.ts';
export { RefusedError } from './http/refuse.ts';
export { requireApiKey } from './http/require-api-key.ts';
export { requireModelAccess } from './http/require-model-access.ts';
export { keysRouter } from './http/router/keys-router.ts';
export { createVirtualKeys } from './keys/create-virtual-keys.ts';
export { memoryStore } from './stores/memory/memory-store.ts';
export { priceBook } from './usage/pricing.ts';
