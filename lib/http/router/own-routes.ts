import type { Router } from 'express';
import { UnauthorizedError } from '../../errors.ts';
import type { Internals } from '../../keys/internals.ts';
import type { VirtualKeys } from '../../keys/virtual-keys.ts';
import { asyncHandler } from '../async-handler.ts';
import { readCredential } from '../credentials.ts';
import { onlyMethods } from './answers.ts';
import { refuseGuessing } from './guesses.ts';

/** What a virtual key may know of itself: it is the only credential here. */
export function addOwnRoutes(router: Router, keys: VirtualKeys, internals: Internals): void {
  const { secrets } = internals;
  const me = asyncHandler(async (req, res) => {
    res.set('Cache-Control', 'no-store');
    const credential = readCredential(req, (text) => secrets.read(text) === 'ours', secrets.mayBeImported);
    const verified = await keys.verify(credential.kind === 'found' ? credential.secret : '');
    if (!verified.valid) {
      refuseGuessing(internals, verified.reason, req.ip);
      res.set('WWW-Authenticate', 'Bearer');
      throw new UnauthorizedError(explanations[verified.reason]);
    }
    // What others have used under a shared limit is theirs to know.
    const balance = await keys.balance(verified.key.id);
    res.json({ key: verified.key, ...balance, limits: balance.limits.filter(({ scope }) => scope === 'key') });
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
