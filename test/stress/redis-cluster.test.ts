import { processFleet } from '../support/fleet/fleet.ts';
import { clusterPlace } from '../support/fleet/store-places.ts';
import { abandonedHoldCases } from './cases/abandoned-holds.ts';
import { endedKeyCases } from './cases/ended-keys.ts';
import { limitCases } from './cases/limits.ts';
import { pausedWorkerCases } from './cases/paused-worker.ts';
import { randomLifeCases } from './cases/random-life/random-life.ts';
import { startAndStop } from './fleet-hooks.ts';

describe('redisStore on a Cluster in four processes', function () {
  this.timeout(60_000);
  const fleet = processFleet(clusterPlace);
  startAndStop(fleet);
  // Where the parts of an admission are in several slots, a call may be refused for a moment that would fit.
  limitCases(fleet, { refusesTransiently: true });
  endedKeyCases(fleet);
  randomLifeCases(fleet);
  pausedWorkerCases(fleet);
  abandonedHoldCases(fleet);
});
