import assert from 'node:assert/strict';
import { createGuessing } from '../../../lib/keys/guessing.ts';
import { manualClock } from '../../support/clock.ts';

describe('createGuessing', () => {
  it('lets twenty wrong secrets of an address pass, and tells the next when it may come', () => {
    const guessing = createGuessing(manualClock());
    const waits = Array.from({ length: 22 }, () => guessing.count('192.0.2.1'));
    assert.deepEqual(waits, [...new Array(20).fill(0), 3000, 3000]);
  });

  it('lets one more pass every three seconds', () => {
    const clock = manualClock();
    const guessing = createGuessing(clock);
    for (let guess = 0; guess < 20; guess += 1) guessing.count('192.0.2.1');
    clock.advance(2999);
    assert.equal(guessing.count('192.0.2.1'), 1);
    clock.advance(1);
    assert.equal(guessing.count('192.0.2.1'), 0);
    assert.equal(guessing.count('192.0.2.1'), 3000);
  });

  it('counts each address by itself', () => {
    const guessing = createGuessing(manualClock());
    for (let guess = 0; guess < 30; guess += 1) guessing.count('192.0.2.1');
    assert.equal(guessing.count('192.0.2.2'), 0);
  });
});
