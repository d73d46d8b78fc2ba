/** Whose clients are answered. */
export type ProviderDialect = 'openai' | 'anthropic' | 'gemini';

export interface ProviderError {
  readonly status: number;
  readonly message: string;
  /** OpenAI's `error.code`, such as `unknown_url`. */
  readonly code?: string | undefined;
}

/** The body by which a provider tells an error. */
export function providerErrorBody(dialect: ProviderDialect, { status, message, code }: ProviderError): object {
  switch (dialect) {
    case 'openai':
      return { error: { message, type: openAITypes[status] ?? kindOf(status), param: null, code: code ?? null } };
    case 'anthropic':
      return { type: 'error', message, error: { type: anthropicTypes[status] ?? anthropicKindOf(status), message } };
    case 'gemini':
      return { error: { code: status, message, status: geminiStatuses[status] ?? geminiKindOf(status) } };
  }
}

type ByStatus = { readonly [status: number]: string };

const openAITypes: ByStatus = { 429: 'requests' };

const anthropicTypes: ByStatus = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

const geminiStatuses: ByStatus = {
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  504: 'DEADLINE_EXCEEDED',
};

function kindOf(status: number): string {
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

function anthropicKindOf(status: number): string {
  return status >= 500 ? 'api_error' : 'invalid_request_error';
}

function geminiKindOf(status: number): string {
  return status >= 500 ? 'UNAVAILABLE' : 'INVALID_ARGUMENT';
}
