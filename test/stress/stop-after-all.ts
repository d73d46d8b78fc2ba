import type { Fleet } from '../support/fleet/fleet.ts';

/** Ends a fleet with the tests of a suite. Its stores stay where one failed, for whoever wants to look. */
export function stopAfterAll(fleet: Fleet): void {
  let hasFailed = false;

  afterEach(function () {
    hasFailed ||= this.currentTest?.isFailed() === true;
  });

  after(() => fleet.stop({ keep: hasFailed }));
}
