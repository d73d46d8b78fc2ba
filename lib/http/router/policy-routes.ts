import type { Request, Router } from 'express';
import { InvalidRequestError, LlmKeysError } from '../../errors.ts';
import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import type { Scope } from '../../limits/limit.ts';
import type { AdminHandlers } from './admin-call.ts';
import { onlyMethods, sendVersioned } from './answers.ts';
import { forbiddenAction, isPolicyInScope } from './roles.ts';

interface PolicyTarget {
  readonly policy: Exclude<Scope, { key: string }>;
}

/** Policies over users, teams and all; defaults and maximums for new keys. */
export function addPolicyRoutes(router: Router, keys: VirtualKeys, admin: AdminHandlers): void {
  const readPolicy = admin('policies.read', policyTarget, async ({ res, scope, grant }, { policy }) => {
    if (!isPolicyInScope(scope, policy)) throw forbiddenAction(grant, 'policies.read', ' here');
    const found = await keys.getPolicy(policy);
    if (found === undefined) throw new LlmKeysError('key_not_found', 404, 'No such policy');
    sendVersioned(res, found);
  });

  const writePolicy = admin('policies.write', policyTarget, async ({ res, scope, grant, body, actor }, { policy }) => {
    if (!isPolicyInScope(scope, policy)) throw forbiddenAction(grant, 'policies.write', ' here');
    sendVersioned(res, await keys.setPolicy(policy, body, actor));
  });

  const readDefaults = admin(
    'defaults.read',
    () => null,
    async ({ res }) => sendVersioned(res, await keys.getDefaults()),
  );

  const writeDefaults = admin(
    'defaults.write',
    () => null,
    async ({ res, body, actor }) => sendVersioned(res, await keys.setDefaults(body, actor)),
  );

  for (const path of ['/policies/global', '/policies/:scope/:id']) {
    router.route(path).get(readPolicy).put(writePolicy).all(onlyMethods('GET', 'PUT'));
  }
  router.route('/defaults').get(readDefaults).put(writeDefaults).all(onlyMethods('GET', 'PUT'));
}

/** @throws InvalidRequestError for a scope that policies do not have */
function policyTarget({ params: { scope, id } }: Request): PolicyTarget {
  if (scope === undefined) return { policy: 'global' };
  if (scope === 'user') return { policy: { user: String(id) } };
  if (scope === 'team') return { policy: { team: String(id) } };
  throw new InvalidRequestError([{ field: 'scope', message: 'must be user or team' }]);
}
