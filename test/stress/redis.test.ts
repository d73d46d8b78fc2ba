import { processFleet } from '../support/fleet/fleet.ts';
import { redisPlace } from '../support/fleet/store-places.ts';
import { abandonedHoldCases } from './cases/abandoned-holds.ts';
import { keysWithoutTtlCases } from './cases/keys-without-ttl.ts';
import { limitCases } from './cases/limits.ts';
import { longSilenceCases } from './cases/long-silence.ts';
import { pausedWorkerCases } from './cases/paused-worker.ts';
import { randomLifeCases } from './cases/random-life/random-life.ts';
import { revocationCases } from './cases/revocation.ts';

describe('redisStore in four processes', function () {
  this.timeout(60_000);
  const fleet = processFleet(redisPlace);
  after(() => fleet.stop());
  limitCases(fleet);
  revocationCases(fleet);
  randomLifeCases(fleet);
  pausedWorkerCases(fleet);
  abandonedHoldCases(fleet);
  keysWithoutTtlCases(fleet);
  longSilenceCases(fleet);
});
