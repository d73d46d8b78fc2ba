import type { KeyStatus } from '../../keys/virtual-key.ts';

/** What a row of `keys` has to meet to be of this status, where `now` is SQL. */
export const statusSql: { readonly [status in KeyStatus]: (now: string) => string } = {
  revoked: () => 'revoked_at_ms is not null',
  disabled: () => 'revoked_at_ms is null and disabled_at_ms is not null',
  expired: (now) => `revoked_at_ms is null and disabled_at_ms is null and expires_at_ms <= ${now}`,
  active: activeSql,
};

export function activeSql(now: string): string {
  return `revoked_at_ms is null and disabled_at_ms is null and (expires_at_ms is null or expires_at_ms > ${now})`;
}
