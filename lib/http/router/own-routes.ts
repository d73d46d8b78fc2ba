import type { Request, Router } from 'express';
import { UnauthorizedError } from '../../errors.ts';
import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import { asyncHandler } from '../async-handler.ts';
import { onlyMethods } from './answers.ts';

/** What a virtual key may know of itself: it is the only credential here. */
export function addOwnRoutes(router: Router, keys: VirtualKeys): void {
  const me = asyncHandler(async (req, res) => {
    res.set('Cache-Control', 'no-store');
    const verified = await keys.verify(secretOf(req) ?? '');
    if (!verified.valid) {
      res.set('WWW-Authenticate', 'Bearer');
      throw new UnauthorizedError(explanations[verified.reason]);
    }
    const { key } = verified;
    res.json({ key, ...(await keys.balance(key.id)) });
  });

  router.route('/me').get(me).all(onlyMethods('GET'));
}

const explanations = {
  unknown: 'A valid virtual key is required',
  malformed: 'A valid virtual key is required',
  revoked: 'The key is revoked',
  disabled: 'The key is disabled',
  expired: 'The key has expired',
} as const;

function secretOf(req: Request): string | undefined {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(req.get('authorization') ?? '') ?? [];
  return bearer ?? req.get('x-api-key');
}
