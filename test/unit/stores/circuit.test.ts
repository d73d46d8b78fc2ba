import assert from 'node:assert/strict';
import { StoreUnavailableError } from '../../../lib/errors.ts';
import { createCircuit } from '../../../lib/stores/circuit.ts';
import { createDeadline } from '../../../lib/stores/deadline.ts';
import { manualClock } from '../../support/clock.ts';

const unavailable = { code: 'store_unavailable' };

function testCircuit() {
  const clock = manualClock(0);
  const changes: (number | null)[] = [];
  const circuit = createCircuit({
    now: clock,
    withDeadline: createDeadline(60_000),
    onChange: () => changes.push(circuit.failingSinceMs()),
  });
  let sent = 0;
  const send = async (answer: () => Promise<string>) =>
    circuit.ask(() => {
      sent += 1;
      return answer();
    });
  const ask = (answer: Promise<string>) => send(() => answer);
  const fail = () =>
    assert.rejects(
      send(() => Promise.reject(new Error('refused'))),
      unavailable,
    );
  return {
    circuit,
    clock,
    changes,
    ask,
    fail,
    sentSince() {
      const since = sent;
      sent = 0;
      return since;
    },
  };
}

/** An answer that comes when the test says so. */
function later() {
  let resolve: (value: string) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const answer = new Promise<string>((whenDone, whenFailed) => {
    resolve = whenDone;
    reject = whenFailed;
  });
  return { answer, resolve, reject };
}

describe('createCircuit', () => {
  it('refuses without asking after five failures in a row, but for one probe each 250 ms, until one succeeds', async () => {
    const { circuit, clock, ask, fail, sentSince } = testCircuit();
    for (let n = 0; n < 5; n += 1) await fail();
    assert.equal(sentSince(), 5);
    assert.equal(circuit.isOpen(), true);
    clock.advance(249);
    await fail();
    assert.equal(sentSince(), 0);
    clock.advance(1);
    const probe = later();
    const probing = ask(probe.answer);
    await fail();
    assert.equal(sentSince(), 1, 'while one probe is on its way, nobody else is');
    probe.reject(new Error('refused'));
    await assert.rejects(probing, unavailable);
    await fail();
    assert.equal(sentSince(), 0);
    clock.advance(250);
    assert.equal(await ask(Promise.resolve('back')), 'back');
    assert.equal(await ask(Promise.resolve('open for all')), 'open for all');
    assert.equal(circuit.isOpen(), false);
  });

  it('throws what it refuses before anything is sent, and rejects with what the store threw', async () => {
    const { circuit, fail } = testCircuit();
    const broken = circuit.ask(() => {
      throw new RangeError('out of order');
    });
    await assert.rejects(Promise.resolve(broken), ({ code, cause }: StoreUnavailableError) => {
      assert.deepEqual([code, (cause as Error).message], ['store_unavailable', 'out of order']);
      return true;
    });
    for (let n = 0; n < 4; n += 1) await fail();
    assert.throws(() => circuit.ask(() => assert.fail('it was asked')), StoreUnavailableError);
  });

  it('never holds back what the store must hear of, and learns from it', async () => {
    const { circuit, fail } = testCircuit();
    for (let n = 0; n < 5; n += 1) await fail();
    assert.equal(
      circuit.insist(() => 'heard'),
      'heard',
    );
    assert.equal(circuit.isOpen(), false);
  });

  it('tells once that calls fail, since the first of them, and once that they succeed', async () => {
    const { circuit, clock, changes, fail } = testCircuit();
    clock.set(1000);
    await fail();
    clock.set(2000);
    await fail();
    assert.equal(circuit.failingSinceMs(), 1000);
    assert.equal(
      circuit.insist(() => 'back'),
      'back',
    );
    assert.equal(
      circuit.insist(() => 'still there'),
      'still there',
    );
    assert.deepEqual(changes, [1000, null]);
  });

  it('counts failures in a row only', async () => {
    const { circuit, ask, fail } = testCircuit();
    for (let n = 0; n < 4; n += 1) await fail();
    await ask(Promise.resolve('ok'));
    for (let n = 0; n < 4; n += 1) await fail();
    assert.equal(circuit.isOpen(), false);
  });

  it('learns nothing from a call that began before one it has heard of', async () => {
    const { circuit, changes, ask, fail } = testCircuit();
    const [slow, slower] = [later(), later()];
    const failing = assert.rejects(ask(slow.answer), unavailable);
    const succeeding = ask(slower.answer);
    await ask(Promise.resolve('the store is up'));
    slow.reject(new Error('timed out long ago'));
    await failing;
    assert.deepEqual(changes, []);
    await fail();
    slower.resolve('from before the outage');
    await succeeding;
    assert.equal(circuit.failingSinceMs(), 0);
  });

  it('is not kept open by a clock that steps back', async () => {
    const { clock, ask, fail } = testCircuit();
    clock.set(10_000_000);
    for (let n = 0; n < 5; n += 1) await fail();
    clock.set(0);
    assert.equal(await ask(Promise.resolve('asked')), 'asked');
  });
});
