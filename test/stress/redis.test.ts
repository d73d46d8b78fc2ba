import { processFleet } from '../support/fleet/fleet.ts';
import { redisPlace } from '../support/fleet/store-places.ts';
import { abandonedHoldCases } from './cases/abandoned-holds.ts';
import { endedKeyCases } from './cases/ended-keys.ts';
import { keysWithoutTtlCases } from './cases/keys-without-ttl.ts';
import { limitCases } from './cases/limits.ts';
import { pausedWorkerCases } from './cases/paused-worker.ts';
import { randomLifeCases } from './cases/random-life/random-life.ts';
import { startAndStop } from './fleet-hooks.ts';

describe('redisStore in four processes', function () {
  this.timeout(60_000);
  const fleet = processFleet(redisPlace);
  startAndStop(fleet);
  limitCases(fleet);
  endedKeyCases(fleet);
  randomLifeCases(fleet);
  pausedWorkerCases(fleet);
  abandonedHoldCases(fleet);
  keysWithoutTtlCases(fleet);
});
