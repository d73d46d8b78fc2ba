import type { Router } from 'express';
import { NoMirrorError } from '../../errors.ts';
import type { AttachedMirror, MirrorPlace } from '../../keys/attached-mirror.ts';
import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import type { AdminHandlers } from './admin-call.ts';
import { onlyMethods } from './answers.ts';
import { refuseOtherFields } from './body.ts';
import { findVisible, keyTarget } from './key-routes.ts';
import { forbiddenAction, isUnbounded } from './roles.ts';

/** How keys stand with their twins in another system. */
export function addSyncRoutes(
  router: Router,
  keys: VirtualKeys,
  admin: AdminHandlers,
  mirror: Pick<MirrorPlace, 'current'>,
): void {
  function attached(): AttachedMirror {
    if (mirror.current === undefined) throw new NoMirrorError();
    return mirror.current;
  }

  const status = admin(
    'sync.read',
    () => null,
    async ({ res, scope, grant }) => {
      if (!isUnbounded(scope)) throw forbiddenAction(grant, 'sync.read', ' for all keys');
      res.json(await attached().status());
    },
  );

  const resync = admin('keys.resync', keyTarget, async (call, { keyId }) => {
    refuseOtherFields(call.body, []);
    await findVisible(keys, call, keyId);
    call.res.json(await attached().resync(keyId));
  });

  router.route('/sync/status').get(status).all(onlyMethods('GET'));
  router.route('/:id/resync').post(resync).all(onlyMethods('POST'));
}
