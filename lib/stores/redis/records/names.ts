import type { ScopeId } from '../../../limits/limit.ts';

/**
 * Any text as a part of a key, a field or a member: printable, and another one for each text. What is not well-formed
 * Unicode would be sent as U+FFFD, and be one with others.
 */
export function quoted(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

export function unquoted(part: string): string {
  return JSON.parse(`"${part}"`);
}

/** What the keys of all records are called. They are in one slot, since a change touches several of them. */
export type RecordNames = ReturnType<typeof recordNames>;

export function recordNames(prefix: string) {
  const base = `${prefix}{records}:`;
  return {
    key: (id: string) => `${base}key:${quoted(id)}`,
    policy: (scopeId: ScopeId) => `${base}policy:${quoted(scopeId)}`,
    defaults: `${base}defaults`,
    /** Indexes of keys: hashes from a text to an id. */
    byAlias: `${base}by-alias`,
    byHash: `${base}by-hash`,
    /** What filters have to know of each key. */
    filtered: `${base}filtered`,
    /** Entries of all keys, newest last. */
    all: `${base}all`,
    /** Keys neither revoked nor disabled, scored by expiry. */
    enabled: `${base}enabled`,
    enabledOf: (ownerId: string | null) => `${base}enabled-of:${ownerId === null ? '' : quoted(ownerId)}`,
    /** Entries of the keys that have something in common. */
    index: (field: IndexedField, value: string) => `${base}${field}:${quoted(value)}`,
    sequence: `${base}sequence`,
    audit: `${base}audit`,
    auditRows: `${base}audit-rows`,
    /** Remembers that a row was added that belongs to no change. */
    auditMark: (id: string) => `${base}audited:${quoted(id)}`,
    /** Key ids by the moment from which their row may be claimed; the rows; and the claimed ones by the end of the lease. */
    outbox: `${base}outbox`,
    outboxRows: `${base}outbox-rows`,
    outboxLeases: `${base}outbox-leases`,
    twins: `${base}twins`,
    twinStates: `${base}twin-states`,
    fences: `${base}fences`,
    alertIds: `${base}alert-ids`,
    alerts: `${base}alerts`,
    alertRows: `${base}alert-rows`,
    /** Where changes are told. */
    channel: `${prefix}changes`,
  };
}

export type IndexedField = 'owner' | 'team' | 'tag' | 'model' | 'state';
