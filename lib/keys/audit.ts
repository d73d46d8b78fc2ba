import { randomUUID } from 'node:crypto';
import type { Actor, AuditEntry } from '../stores/store.ts';

/** Whoever uses the service in code without saying who. */
const unnamedActor: Actor = { id: 'application' };

export function auditEntry(
  action: string,
  target: string,
  actor: Actor | undefined,
  before: unknown,
  after: unknown,
  reason: string | null = null,
): AuditEntry {
  return { id: randomUUID(), actor: actor ?? unnamedActor, action, target, before, after, reason };
}
