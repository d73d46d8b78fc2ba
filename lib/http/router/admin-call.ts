import type { Request, RequestHandler, Response } from 'express';
import { UnauthorizedError } from '../../errors.ts';
import type { Scope } from '../../limits/limit.ts';
import type { Actor } from '../../stores/store.ts';
import { asyncHandler } from '../async-handler.ts';
import { type JsonObject, readBody } from './body.ts';
import { type AdminAction, forbiddenAction, type Grant, isRole, type KeyScope, keyScope, mayDo } from './roles.ts';

/** What an action is about; `null`: no single thing. */
export type AdminTarget = { readonly keyId: string } | { readonly policy: Exclude<Scope, { key: string }> } | null;

/** Tells who calls an admin route: their grant, or nothing for a caller that is not known. */
export type Authorize = (
  req: Request,
  action: AdminAction,
  target: AdminTarget,
) => Grant | null | undefined | false | Promise<Grant | null | undefined | false>;

/** A call of an admin route by somebody who may do it. */
export interface AdminCall {
  readonly req: Request;
  readonly res: Response;
  readonly grant: Grant;
  /** The keys that exist for the caller. */
  readonly scope: KeyScope;
  readonly actor: Actor;
  readonly body: JsonObject;
}

const maxUserAgentLength = 256;

/** Makes handlers that run only for callers who may do the action. The body is read after that. */
export function createAdminHandlers(authorize: Authorize) {
  return function adminHandler<T extends AdminTarget>(
    actionOf: AdminAction | ((req: Request) => AdminAction),
    targetOf: (req: Request) => T,
    handle: (call: AdminCall, target: T) => Promise<void>,
  ): RequestHandler {
    return asyncHandler(async (req, res) => {
      const action = typeof actionOf === 'function' ? actionOf(req) : actionOf;
      const target = targetOf(req);
      const grant = checkGrant(await authorize(req, action, target));
      if (!mayDo(grant, action)) throw forbiddenAction(grant, action);
      // Answers hold keys, money, or who may do what: nothing for a cache between.
      res.set('Cache-Control', 'no-store');
      const body = req.method === 'GET' || req.method === 'DELETE' ? {} : await readBody(req, res);
      await handle({ req, res, grant, scope: keyScope(grant), actor: actorOf(req, grant), body }, target);
    });
  };
}

export type AdminHandlers = ReturnType<typeof createAdminHandlers>;

/** A grant that is not whole must not become one that may do everything. */
function checkGrant(grant: Grant | null | undefined | false): Grant {
  if (grant === null || grant === undefined || grant === false) throw new UnauthorizedError();
  const { actorId, role, ownerIds, teamIds } = grant;
  if (typeof actorId !== 'string' || actorId === '' || !isRole(role) || !isIds(ownerIds) || !isIds(teamIds)) {
    throw new TypeError(
      'keysRouter: authorize must give { actorId, role, ownerIds?, teamIds? }, role one of admin, manager, auditor, user, service; or nothing',
    );
  }
  return grant;
}

function isIds(ids: unknown): boolean {
  return ids === undefined || (Array.isArray(ids) && ids.every((id) => typeof id === 'string'));
}

function actorOf(req: Request, { actorId, role }: Grant): Actor {
  return { id: actorId, role, ip: req.ip, userAgent: req.get('user-agent')?.slice(0, maxUserAgentLength) };
}
