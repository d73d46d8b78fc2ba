const maxLength = 200;

/**
 * Why a store gave no answer, in one line of at most 200 characters for logs and events: what its driver said. Credentials
 * in URLs and what is long enough to be a secret or a hash are left out.
 */
export function failureReason(error: unknown): string {
  const said = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(said instanceof Error)) return 'unknown';
  const plain = said.message
    .slice(0, 10 * maxLength)
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ')
    .replace(/:\/\/\S*@/g, '://…@')
    .replace(/[\w+/=-]{32,}/g, '…')
    .trim();
  return plain.slice(0, maxLength) || said.name.slice(0, maxLength);
}
