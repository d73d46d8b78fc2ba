import type { RequestHandler, Router } from 'express';
import type { MirrorPlace } from '../../keys/attached-mirror.ts';
import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import type { AdminHandlers } from './admin-call.ts';
import { onlyMethods } from './answers.ts';
import { refuseOtherFields } from './body.ts';
import { findVisible, keyTarget } from './key-routes.ts';
import { forbiddenAction, isUnbounded } from './roles.ts';

/** How keys stand with their twins in another system. Where no mirror is attached there are no such routes. */
export function addSyncRoutes(
  router: Router,
  keys: VirtualKeys,
  admin: AdminHandlers,
  mirror: Pick<MirrorPlace, 'current'>,
): void {
  const whereMirrored: RequestHandler = (_req, _res, next) => next(mirror.current === undefined ? 'route' : undefined);

  const status = admin(
    'sync.read',
    () => null,
    async ({ res, scope, grant }) => {
      if (!isUnbounded(scope)) throw forbiddenAction(grant, 'sync.read', ' for all keys');
      res.json(await mirror.current?.status());
    },
  );

  const resync = admin('keys.resync', keyTarget, async (call, { keyId }) => {
    refuseOtherFields(call.body, []);
    await findVisible(keys, call, keyId);
    call.res.json(await mirror.current?.resync(keyId));
  });

  router.route('/sync/status').all(whereMirrored).get(status).all(onlyMethods('GET'));
  router.route('/:id/resync').all(whereMirrored).post(resync).all(onlyMethods('POST'));
}
