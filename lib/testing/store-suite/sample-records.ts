import { randomUUID } from 'node:crypto';
import type { PolicyRecord, VirtualKeyRecord } from '../../keys/virtual-key.ts';
import { noLimits } from '../../limits/limit.ts';
import type { AuditEntry, BudgetCarry, Change } from '../../stores/store.ts';

/** A key as the service stores a new one, without limits. */
export function sampleKey(nowMs: number, fields: Partial<VirtualKeyRecord> = {}): VirtualKeyRecord {
  const id = fields.id ?? randomUUID();
  return {
    ...noLimits,
    id,
    name: 'Production',
    alias: `Production_${id}`,
    ownerId: null,
    teamId: null,
    secretHash: `sha256:${id}`,
    prefix: 'sk-llm-a…wxyz',
    previousSecret: null,
    models: ['gpt-4o'],
    endpoints: null,
    permissions: { allowChatCompletions: true, allowEmbeddings: true, allowCompletions: true },
    rateLimitEnabled: true,
    rateLimitPreset: null,
    allowedIps: null,
    tags: [],
    metadata: {},
    expiresAtMs: null,
    disabledAtMs: null,
    revokedAtMs: null,
    revokedReason: null,
    version: 1,
    revision: 0,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    lastUsedAtMs: null,
    ...fields,
  };
}

/** A policy as the service stores a new one, without limits. */
export function samplePolicy(nowMs: number, fields: Partial<PolicyRecord> = {}): PolicyRecord {
  return {
    ...noLimits,
    models: null,
    endpoints: null,
    version: 1,
    revision: 0,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    ...fields,
  };
}

/** The record with this change, as the next version of it. */
export function nextVersion<R extends { readonly version: number }>(record: R, fields: Partial<NoInfer<R>>): R {
  return { ...record, ...fields, version: record.version + 1 };
}

export function sampleAudit(fields: Partial<AuditEntry> = {}): AuditEntry {
  return {
    id: randomUUID(),
    actor: { id: 'operator', role: 'admin', ip: '192.0.2.1', userAgent: 'curl/8' },
    action: 'key.updated',
    target: 'key:any',
    before: { name: 'before' },
    after: { name: 'after' },
    reason: null,
    ...fields,
  };
}

/** A change that fences. */
export function sampleChange(
  fields: { audit?: Partial<AuditEntry>; outbox?: boolean; fence?: boolean; carries?: readonly BudgetCarry[] } = {},
): Change {
  const { outbox = false, fence = true, carries = [] } = fields;
  return { audit: sampleAudit(fields.audit), outbox, fence, carries };
}

export const anyNumber = { maxActive: null };
