import { ForbiddenError, KeyNotFoundError, type Problem } from '../../errors.ts';
import type { KeyFields } from '../../keys/key-fields.ts';
import type { Scope } from '../../limits/limit.ts';
import { type FieldRules, refusedFields, tightening } from './field-rules.ts';

/** What a caller of the admin routes may be asked about. */
export type AdminAction =
  | 'keys.create'
  | 'keys.read'
  | 'keys.update'
  | 'keys.rotate'
  | 'keys.revoke'
  | 'keys.disable'
  | 'keys.enable'
  | 'keys.repair'
  | 'keys.resetSpend'
  | 'keys.delete'
  | 'keys.verify'
  | 'keys.usage'
  | 'keys.audit'
  | 'keys.resync'
  | 'stats.read'
  | 'audit.read'
  | 'alerts.read'
  | 'sync.read'
  | 'policies.read'
  | 'policies.write'
  | 'defaults.read'
  | 'defaults.write';

export type Role = 'admin' | 'manager' | 'auditor' | 'user' | 'service';

/** Who calls an admin route, as the app's `authorize` knows them. */
export interface Grant {
  /** Goes to the audit log. */
  readonly actorId: string;
  readonly role: Role;
  /** Whose keys a `user` (else: of `actorId`), a `service` or an `auditor` (else: all) is for. */
  readonly ownerIds?: readonly string[] | undefined;
  /** The teams of a `manager`, and those that a `user` or `service` may put new keys into. */
  readonly teamIds?: readonly string[] | undefined;
}

/** The keys that exist for a caller: of any of these owners, and of any of these teams; absent: of all. */
export interface KeyScope {
  readonly ownerIds?: readonly string[] | undefined;
  readonly teamIds?: readonly string[] | undefined;
}

interface RoleRules {
  readonly actions: ReadonlySet<AdminAction> | 'all';
  readonly scope: (grant: Grant) => KeyScope;
  /** What a PATCH may do to each field; absent: anything. */
  readonly edits?: FieldRules;
  /** Whether new keys stay within the periods and the enforcement that the operator chose. */
  readonly keepsDefaults?: true;
}

const reading: readonly AdminAction[] = ['keys.read', 'keys.usage', 'keys.verify'];
const lifecycle: readonly AdminAction[] = ['keys.create', 'keys.update', 'keys.rotate', 'keys.revoke'];

/** What each role may do, to which keys. */
const roles: { readonly [role in Role]: RoleRules } = {
  admin: {
    actions: 'all',
    scope: () => ({}),
  },
  manager: {
    actions: new Set([
      ...reading,
      ...lifecycle,
      ...([
        'keys.disable',
        'keys.enable',
        'keys.resetSpend',
        'keys.audit',
        'keys.resync',
        'stats.read',
        'alerts.read',
      ] as const),
      ...(['policies.read', 'policies.write'] as const),
    ]),
    scope: ({ teamIds = [] }) => ({ teamIds }),
  },
  auditor: {
    actions: new Set([
      ...reading,
      ...(['keys.audit', 'audit.read', 'alerts.read', 'stats.read'] as const),
      ...(['policies.read', 'defaults.read', 'sync.read'] as const),
    ]),
    scope: ({ ownerIds, teamIds }) => ({ ownerIds, teamIds }),
  },
  user: {
    actions: new Set([...reading, ...lifecycle]),
    scope: ({ actorId, ownerIds = [actorId] }) => ({ ownerIds }),
    edits: tightening,
    keepsDefaults: true,
  },
  service: {
    actions: new Set<AdminAction>(['keys.create', 'keys.rotate', 'keys.read', 'keys.verify']),
    scope: ({ ownerIds = [] }) => ({ ownerIds }),
    keepsDefaults: true,
  },
};

export function isRole(role: unknown): role is Role {
  return typeof role === 'string' && Object.hasOwn(roles, role);
}

export function mayDo({ role }: Grant, action: AdminAction): boolean {
  const { actions } = roles[role];
  return actions === 'all' || actions.has(action);
}

/** What a caller is told whose role may not do the action at all, or not there. */
export function forbiddenAction({ role }: Grant, action: AdminAction, where = ''): ForbiddenError {
  return new ForbiddenError(`The role "${role}" may not do ${action}${where}`);
}

export function keyScope(grant: Grant): KeyScope {
  return roles[grant.role].scope(grant);
}

export function keepsDefaults({ role }: Grant): boolean {
  return roles[role].keepsDefaults === true;
}

/** Whether a key exists for a caller of this scope. */
export function isInScope({ ownerIds, teamIds }: KeyScope, key: Pick<KeyFields, 'ownerId' | 'teamId'>): boolean {
  return isAmong(ownerIds, key.ownerId) && isAmong(teamIds, key.teamId);
}

/** Whether a policy is over keys of this scope only. */
export function isPolicyInScope({ ownerIds, teamIds }: KeyScope, policy: Exclude<Scope, { key: string }>): boolean {
  if (policy === 'global') return isUnbounded({ ownerIds, teamIds });
  if ('user' in policy) return teamIds === undefined && isAmong(ownerIds, policy.user);
  return ownerIds === undefined && isAmong(teamIds, policy.team);
}

/** Whether all keys exist for the caller. */
export function isUnbounded({ ownerIds, teamIds }: KeyScope): boolean {
  return ownerIds === undefined && teamIds === undefined;
}

/**
 * Refuses what the role may not change.
 *
 * @throws ForbiddenError naming every field
 * @throws KeyNotFoundError when the key has left the caller's scope
 */
export function approveEdit(grant: Grant, before: KeyFields, after: KeyFields): void {
  const scope = keyScope(grant);
  if (!isInScope(scope, before)) throw new KeyNotFoundError();
  const { edits } = roles[grant.role];
  const fields = edits === undefined ? [] : refusedFields(edits, before, after);
  if (!isAmong(scope.ownerIds, after.ownerId)) fields.push('ownerId');
  if (!isAmong(scope.teamIds, after.teamId)) fields.push('teamId');
  if (fields.length > 0) throw forbiddenFields(grant, fields);
}

export function forbiddenFields({ role }: Grant, fields: readonly string[]): ForbiddenError {
  const details = [...new Set(fields)].map((field): Problem => ({ field, message: 'may not be set so by this role' }));
  return new ForbiddenError(`The role "${role}" may not set ${details.map(({ field }) => field).join(', ')} so`, {
    param: details[0]?.field,
    details,
  });
}

function isAmong(ids: readonly string[] | undefined, id: string | null): boolean {
  return ids === undefined || (id !== null && ids.includes(id));
}
