import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { createTimerWheel } from '../../../lib/http/timer-wheel.ts';

describe('createTimerWheel', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  const periodMs = 800;

  /** In small steps: a mocked timer that a callback sets waits for the next one. */
  function advance(ms: number): void {
    for (let passedMs = 0; passedMs < ms; passedMs += 50) mock.timers.tick(50);
  }

  it('repeats each act with its period, from when it was begun', () => {
    const wheel = createTimerWheel(periodMs);
    const acts: string[] = [];
    wheel.repeat(() => acts.push('first'));
    advance(300);
    wheel.repeat(() => acts.push('second'));
    advance(450);
    assert.deepEqual(acts, []);
    advance(50);
    assert.deepEqual(acts, ['first']);
    advance(300);
    assert.deepEqual(acts, ['first', 'second']);
    advance(2 * periodMs);
    assert.deepEqual(acts, ['first', 'second', 'first', 'second', 'first', 'second']);
  });

  it('repeats nothing that was stopped, be it by an act that runs beside it', () => {
    const wheel = createTimerWheel(periodMs);
    const acts: string[] = [];
    const stops: (() => void)[] = [];
    stops.push(wheel.repeat(() => acts.push('stopped before')));
    wheel.repeat(() => {
      acts.push('running');
      for (const stop of stops) stop();
    });
    stops.push(wheel.repeat(() => acts.push('stopped beside')));
    stops[0]?.();
    advance(2 * periodMs);
    assert.deepEqual(acts, ['running', 'running']);
  });

  it('starts again when it has stood still', () => {
    const wheel = createTimerWheel(periodMs);
    let count = 0;
    wheel.repeat(() => undefined)();
    advance(3 * periodMs);
    wheel.repeat(() => {
      count += 1;
    });
    advance(periodMs);
    assert.equal(count, 1);
  });

  it('sets one timer for all acts, and none while there are none', () => {
    const timers = mock.method(globalThis, 'setTimeout');
    const wheel = createTimerWheel(periodMs);
    const stops = Array.from({ length: 100 }, () => wheel.repeat(() => undefined));
    for (const stop of stops) stop();
    advance(3 * periodMs);
    assert.equal(timers.mock.callCount(), 1);
    timers.mock.restore();
  });
});
