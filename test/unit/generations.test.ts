import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createGenerations } from '../../lib/generations.ts';

describe('createGenerations', () => {
  it('remembers every value for the retention, and forgets it after two at the most', () => {
    const act = fc.record({ pauseMs: fc.nat(700), name: fc.constantFrom('a', 'b', 'c', 'd') });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const retentionMs = 1000;
        const generations = createGenerations<number>({ maxSize: 1000, retentionMs });
        const setAtMs = new Map<string, number>();
        let nowMs = 5000;
        for (const { pauseMs, name } of acts) {
          nowMs += pauseMs;
          generations.set(name, nowMs, nowMs);
          setAtMs.set(name, nowMs);
          for (const [known, atMs] of setAtMs) {
            if (nowMs - atMs <= retentionMs) assert.equal(generations.get(known), atMs);
            if (nowMs - atMs > 2 * retentionMs + 2 * 700) assert.equal(generations.get(known), undefined);
          }
        }
      }),
    );
  });

  it('keeps the latest half of its size for sure, and never more than its size', () => {
    const generations = createGenerations<number>({ maxSize: 10 });
    for (let value = 0; value < 100; value += 1) {
      generations.set(`${value}`, value, 0);
      const kept = Array.from({ length: value + 1 }, (_, name) => name).filter(
        (name) => generations.get(`${name}`) === name,
      );
      assert.ok(kept.length <= 10);
      for (let name = Math.max(0, value - 4); name <= value; name += 1) assert.ok(kept.includes(name));
    }
  });

  it('answers the latest value of a name, also when an older one was set aside', () => {
    const generations = createGenerations<string>({ maxSize: 2 });
    generations.set('a', 'old', 0);
    generations.set('a', 'new', 0);
    assert.equal(generations.get('a'), 'new');
  });

  it('deletes from both generations, and clears all', () => {
    const generations = createGenerations<number>({ maxSize: 4 });
    for (const name of ['a', 'b', 'c']) generations.set(name, 1, 0);
    generations.delete('a');
    generations.delete('c');
    assert.deepEqual(['a', 'b', 'c'].map(generations.get), [undefined, 1, undefined]);
    generations.clear();
    assert.equal(generations.get('b'), undefined);
  });

  it('keeps names of any kind apart', () => {
    const generations = createGenerations<number>({ maxSize: 10 });
    assert.equal(generations.get('__proto__'), undefined);
    generations.set('__proto__', 1, 0);
    assert.deepEqual([generations.get('__proto__'), generations.get('constructor')], [1, undefined]);
  });
});
