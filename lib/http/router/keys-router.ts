import express, { type ErrorRequestHandler, type Router } from 'express';
import { InvalidRequestError } from '../../errors.ts';
import { internalsOf } from '../../keys/internals.ts';
import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import { checkMiddlewareOptions } from '../mounting.ts';
import { type Authorize, createAdminHandlers } from './admin-call.ts';
import { answerError } from './answers.ts';
import { addKeyRoutes } from './key-routes.ts';
import { addOwnRoutes } from './own-routes.ts';
import { addPolicyRoutes } from './policy-routes.ts';
import { addReportRoutes } from './report-routes.ts';
import { addSyncRoutes } from './sync-routes.ts';
import { logUnanswered } from './unanswered.ts';

export interface KeysRouterOptions {
  readonly keys: VirtualKeys;
  /** Tells who calls; without it nobody could be let in, so there is no default. */
  readonly authorize: Authorize;
}

/**
 * The REST API by which keys are administered, to be mounted where you like.
 *
 * Every call is put to `authorize` first, and answered by the role that it gives; somebody else's key is not found. Only
 * `GET /me` is answered to the virtual key itself.
 *
 * @example
 * ```ts
 * app.use('/api-keys', keysRouter({ keys, authorize: (req) => ({ actorId: req.user.id, role: 'user' }) }));
 * ```
 * @throws TypeError for options that are missing or unknown
 */
export function keysRouter(options: KeysRouterOptions): Router {
  checkMiddlewareOptions('keysRouter', options, ['keys', 'authorize']);
  const { keys, authorize } = options;
  const internals = internalsOf('keysRouter', keys);
  if (typeof authorize !== 'function') {
    throw new TypeError('keysRouter: authorize must be a function that tells who calls: (req) => ({ actorId, role })');
  }
  const router = express.Router();
  const admin = createAdminHandlers(authorize);
  // Before the routes of one key, whose `:id` would match their paths too.
  addOwnRoutes(router, keys, internals);
  addPolicyRoutes(router, keys, admin);
  addReportRoutes(router, keys, admin);
  addSyncRoutes(router, keys, admin, internals.mirror);
  addKeyRoutes(router, keys, admin, internals);
  router.use(refuseUndecodable, logUnanswered(internals.options.logger), answerError);
  return router;
}

/** What Express throws where a part of a path is no UTF-8 behind its percent signs. */
const refuseUndecodable: ErrorRequestHandler = (error, _req, _res, next) => {
  const isUndecodable = error instanceof URIError && 'status' in error && error.status === 400;
  next(isUndecodable ? new InvalidRequestError([{ field: 'path', message: 'must be valid UTF-8' }]) : error);
};
