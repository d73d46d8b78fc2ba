import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { mock } from 'node:test';
import { upstreamSignal } from '../../../lib/http/upstream-signal.ts';

describe('upstreamSignal', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  function setUp({ drainMs = 0, hasOwn = true } = {}) {
    const own = new AbortController();
    const client = new AbortController();
    const { signal, release } = upstreamSignal({ own: hasOwn ? own.signal : null, leaving: client.signal, drainMs });
    return { own, client, signal, release };
  }

  for (const drainMs of [0, 100]) {
    it(`aborts with the own signal of the call while the client is there, for drainMs ${drainMs}`, () => {
      const { own, signal } = setUp({ drainMs });
      own.abort('enough');
      assert.equal(signal.reason, 'enough');
    });

    it(`is aborted from the start where the call's own signal is, for drainMs ${drainMs}`, () => {
      const leaving = new AbortController().signal;
      assert.equal(upstreamSignal({ own: AbortSignal.abort('before'), leaving, drainMs }).signal.reason, 'before');
    });
  }

  it('aborts at once when the client leaves', () => {
    const { client, signal } = setUp({ hasOwn: false });
    client.abort('left');
    assert.equal(signal.reason, 'left');
  });

  it('aborts drainMs after the client has left, whatever the SDK does about it', () => {
    const { own, client, signal } = setUp({ drainMs: 100 });
    client.abort('left');
    own.abort('enough');
    mock.timers.tick(99);
    assert.equal(signal.aborted, false);
    mock.timers.tick(1);
    assert.equal(signal.reason, 'left');
  });

  it('gives a call that begins after the client has left drainMs, too', () => {
    const { signal } = upstreamSignal({ own: null, leaving: AbortSignal.abort('left'), drainMs: 100 });
    assert.equal(signal.aborted, false);
    mock.timers.tick(100);
    assert.equal(signal.reason, 'left');
  });

  it('leaves no listener and no timer behind', () => {
    const { own, client, signal, release } = setUp({ drainMs: 100 });
    client.abort('left');
    release();
    mock.timers.tick(100);
    assert.equal(signal.aborted, false);
    assert.deepEqual([getEventListeners(own.signal, 'abort'), getEventListeners(client.signal, 'abort')], [[], []]);
  });
});
