import type { Request, Router } from 'express';
import { InvalidRequestError, KeyNotFoundError } from '../../errors.ts';
import type { Internals } from '../../keys/internals.ts';
import { rotatedDespite } from '../../keys/pending-fence.ts';
import type { VirtualKey } from '../../keys/shown-key.ts';
import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import type { AdminCall, AdminHandlers } from './admin-call.ts';
import { onlyMethods, sendVersioned } from './answers.ts';
import { refuseOtherFields } from './body.ts';
import { refuseGuessing } from './guesses.ts';
import { newKeyInput } from './new-key.ts';
import { filterOf, flagOf, pageOf, queryOf } from './query.ts';
import { approveEdit, isInScope } from './roles.ts';
import { expectedVersion } from './version.ts';

interface KeyTarget {
  readonly keyId: string;
}

/** Finds the key of a path. Somebody else's is not found. */
export async function findVisible(keys: VirtualKeys, { scope }: AdminCall, keyId: string): Promise<VirtualKey> {
  const key = await keys.get(keyId);
  if (!isInScope(scope, key)) throw new KeyNotFoundError();
  return key;
}

export function keyTarget(req: Request): KeyTarget {
  return { keyId: String(req.params.id) };
}

/** Keys themselves: made, listed, read, changed and ended. */
export function addKeyRoutes(router: Router, keys: VirtualKeys, admin: AdminHandlers, internals: Internals): void {
  const { now } = internals;
  const noTarget = () => null;

  const create = admin('keys.create', noTarget, async ({ req, res, body, grant, actor }) => {
    const input = newKeyInput(body, grant, await keys.getDefaults(), now());
    const { key, secret } = await keys.create(input, actor);
    res.status(201).location(`${req.baseUrl}/${key.id}`).json({ key, secret });
  });

  const list = admin('keys.read', noTarget, async ({ req, res, scope }) => {
    const query = queryOf(req);
    const page = pageOf(query);
    const listed = await keys.list(filterOf(query, scope), page);
    const pages = Math.ceil(listed.total / (page.limit ?? 20));
    res.json(page.page === undefined ? listed : { ...listed, page: page.page, pages });
  });

  const read = admin('keys.read', keyTarget, async (call, { keyId }) => {
    sendVersioned(call.res, await findVisible(keys, call, keyId));
  });

  const update = admin('keys.update', keyTarget, async (call, { keyId }) => {
    const { req, res, body, grant, actor } = call;
    const { version, ...patch } = body;
    const current = await findVisible(keys, call, keyId);
    const ifVersion = expectedVersion(req.get('if-match'), version, current.version);
    const options = { ifVersion, approve: approveEdit.bind(null, grant) };
    sendVersioned(res, await keys.update(keyId, patch, options, actor));
  });

  const isPermanent = (req: Request) => flagOf(queryOf(req), 'permanent');
  const end = admin(
    (req) => (isPermanent(req) ? 'keys.delete' : 'keys.revoke'),
    keyTarget,
    async (call, { keyId }) => {
      await findVisible(keys, call, keyId);
      if (isPermanent(call.req)) await keys.delete(keyId, call.actor);
      else await keys.revoke(keyId, {}, call.actor);
      call.res.status(204).end();
    },
  );

  const rotate = admin('keys.rotate', keyTarget, async (call, { keyId }) => {
    const { req, res, body, actor } = call;
    refuseOtherFields(body, ['graceSeconds', 'version']);
    const current = await findVisible(keys, call, keyId);
    const ifVersion = expectedVersion(req.get('if-match'), body.version, current.version);
    const graceSeconds = body.graceSeconds as number | undefined;
    const rotated = await keys.rotate(keyId, { graceSeconds, ifVersion }, actor).catch((error: unknown) => {
      // Nobody is ever shown the secret again.
      const despite = rotatedDespite(error);
      if (despite === undefined) throw error;
      res.status(202);
      return despite;
    });
    res.json(rotated);
  });

  const revoke = admin('keys.revoke', keyTarget, async (call, { keyId }) => {
    refuseOtherFields(call.body, ['reason']);
    await findVisible(keys, call, keyId);
    const reason = call.body.reason as string | undefined;
    sendVersioned(call.res, await keys.revoke(keyId, { reason }, call.actor));
  });

  const simple = (method: 'disable' | 'enable' | 'repair' | 'resetSpend') =>
    admin(`keys.${method}`, keyTarget, async (call, { keyId }) => {
      refuseOtherFields(call.body, []);
      await findVisible(keys, call, keyId);
      sendVersioned(call.res, await keys[method](keyId, call.actor));
    });

  const verify = admin('keys.verify', noTarget, async ({ req, res, body, scope }) => {
    refuseOtherFields(body, ['secret']);
    if (typeof body.secret !== 'string') {
      throw new InvalidRequestError([{ field: 'secret', message: 'must be a string' }]);
    }
    const verified = await keys.verify(body.secret);
    if (!verified.valid) refuseGuessing(internals, verified.reason, req.ip);
    const isForeign = verified.valid && !isInScope(scope, verified.key);
    res.json(isForeign ? { valid: false, reason: 'unknown' } : verified);
  });

  router.route('/').post(create).get(list).all(onlyMethods('POST', 'GET'));
  router.route('/verify').post(verify).all(onlyMethods('POST'));
  router
    .route('/:id')
    .get(read)
    .patch(update)
    .delete(end)
    .all(onlyMethods('GET', 'PATCH', 'DELETE'));
  router.route('/:id/rotate').post(rotate).all(onlyMethods('POST'));
  router.route('/:id/revoke').post(revoke).all(onlyMethods('POST'));
  router.route('/:id/disable').post(simple('disable')).all(onlyMethods('POST'));
  router.route('/:id/enable').post(simple('enable')).all(onlyMethods('POST'));
  router.route('/:id/repair').post(simple('repair')).all(onlyMethods('POST'));
  router.route('/:id/reset-spend').post(simple('resetSpend')).all(onlyMethods('POST'));
}
