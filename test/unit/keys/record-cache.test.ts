import assert from 'node:assert/strict';
import { createRecordCache } from '../../../lib/keys/record-cache.ts';
import { mintSecret } from '../../../lib/keys/secret.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import type { Store } from '../../../lib/stores/store.ts';
import { manualClock } from '../../support/clock.ts';
import { call, createKey, storeWith, testService } from '../../support/service.ts';

/** A store that counts its reads of records, by method. */
function countingStore(store = memoryStore()) {
  const reads = { findKey: 0, findKeyByHash: 0, findPolicy: 0 };
  const counted = <N extends keyof typeof reads>(name: N) =>
    ((...args: never[]) => {
      reads[name] += 1;
      return (store[name] as (...given: never[]) => unknown)(...args);
    }) as Store[N];
  return {
    reads,
    store: storeWith(store, {
      findKey: counted('findKey'),
      findKeyByHash: counted('findKeyByHash'),
      findPolicy: counted('findPolicy'),
    }),
  };
}

describe('createVirtualKeys: cacheMs', () => {
  it('reads a cold key once, however many ask at the same time', async () => {
    const { store, reads } = countingStore();
    const service = testService({ store });
    const { secret } = await createKey(service, { ownerId: 'ada' });
    const verified = await Promise.all(Array.from({ length: 50 }, () => service.keys.verify(secret)));
    assert.ok(verified.every(({ valid }) => valid));
    assert.deepEqual(reads, { findKey: 1, findKeyByHash: 1, findPolicy: 2 });
    service.clock.advance(9999);
    await service.keys.verify(secret);
    assert.deepEqual(reads, { findKey: 1, findKeyByHash: 1, findPolicy: 2 });
    service.clock.advance(1);
    await service.keys.verify(secret);
    assert.deepEqual(reads, { findKey: 2, findKeyByHash: 2, findPolicy: 4 });
  });

  it('reads every record anew when the store may have missed changes', async () => {
    const { store, reads } = countingStore();
    let tellMissed = () => {};
    const service = testService({
      store: storeWith(store, {
        open(environment) {
          tellMissed = () => environment.onNotice({ type: 'missed' });
          return store.open(environment);
        },
      }),
    });
    const { secret } = await createKey(service, { ownerId: 'ada' });
    await service.keys.verify(secret);
    tellMissed();
    await service.keys.verify(secret);
    await service.keys.verify(secret);
    assert.deepEqual(reads, { findKey: 2, findKeyByHash: 2, findPolicy: 4 });
  });

  it('asks the store once for a secret that nobody has, and never for one that is malformed', async () => {
    const { store, reads } = countingStore();
    const { keys } = testService({ store });
    const secret = mintSecret('sk-llm');
    for (let times = 0; times < 10; times += 1) await keys.verify(secret);
    await keys.verify(`${secret}x`);
    await keys.verify('Bearer');
    assert.deepEqual(reads, { findKey: 0, findKeyByHash: 1, findPolicy: 0 });
  });

  it('asks the store for every call when it is 0', async () => {
    const { store, reads } = countingStore();
    const service = testService({ store, cacheMs: 0 });
    const { key, secret } = await createKey(service);
    for (let times = 0; times < 3; times += 1) await service.keys.verify(secret);
    for (let times = 0; times < 3; times += 1) await service.keys.admit(call(key.id));
    assert.deepEqual(reads, { findKey: 6, findKeyByHash: 3, findPolicy: 6 });
  });

  it('hears at once of what another service on the store changes', async () => {
    const first = testService();
    const second = testService({ store: first.store, clock: first.clock });
    const { key, secret } = await createKey(first, { teamId: 'red' });
    assert.equal((await second.keys.verify(secret)).valid, true);
    await first.keys.disable(key.id);
    assert.deepEqual(await second.keys.verify(secret), { valid: false, reason: 'disabled' });
    await first.keys.enable(key.id);
    assert.equal((await second.keys.verify(secret)).valid, true);
    const { secret: rotated } = await first.keys.rotate(key.id);
    assert.deepEqual(await second.keys.verify(secret), { valid: false, reason: 'unknown' });
    assert.equal((await second.keys.verify(rotated)).valid, true);
  });

  it('accepts a secret that it took for unknown just before it was made', async () => {
    const store = memoryStore();
    const service = testService({ store });
    let early: Promise<unknown> | undefined;
    service.keys.addHook({
      before: ({ secret }) => {
        early = service.keys.verify(secret ?? '');
      },
    });
    const { secret } = await createKey(service);
    assert.deepEqual(await early, { valid: false, reason: 'unknown' });
    assert.equal((await service.keys.verify(secret)).valid, true);
  });

  it('answers nobody from a read that began before the change they know of', async () => {
    const store = memoryStore();
    let reachSlowRead = () => {};
    let releaseSlowRead = () => {};
    const reached = new Promise<void>((resolve) => {
      reachSlowRead = resolve;
    });
    const released = new Promise<void>((resolve) => {
      releaseSlowRead = resolve;
    });
    let slowReads = 1;
    const service = testService({
      storeTimeoutMs: 60_000,
      store: storeWith(store, {
        findKey: async (id) => {
          const record = await store.findKey(id);
          slowReads -= 1;
          if (slowReads !== 0) return record;
          reachSlowRead();
          await released;
          return record;
        },
      }),
    });
    const { key, secret } = await createKey(service);
    const before = service.keys.verify(secret);
    await reached;
    await service.keys.revoke(key.id);
    const after = service.keys.verify(secret);
    releaseSlowRead();
    assert.equal((await before).valid, true);
    assert.deepEqual(await after, { valid: false, reason: 'revoked' });
  });
});

describe('createRecordCache', () => {
  function testCache(records: Map<string, number>) {
    const clock = manualClock();
    let reads = 0;
    const pending: (() => void)[] = [];
    const cache = createRecordCache({
      load: (name) => {
        reads += 1;
        const value = records.get(name);
        return new Promise<number | undefined>((resolve) => pending.push(() => resolve(value)));
      },
      now: clock,
      cacheMs: 1000,
      maxSize: 4,
      maxAbsent: 4,
    });
    const answer = () => {
      for (const resolve of pending.splice(0)) resolve();
    };
    const get = async (name: string, fresh = false) => {
      const entry = cache.get(name, fresh);
      answer();
      return (await entry).value;
    };
    return { cache, clock, answer, get, reads: () => reads };
  }

  it('keeps nothing that was read while a change was noticed', async () => {
    const records = new Map([['a', 1]]);
    const { cache, answer, get } = testCache(records);
    const early = cache.get('a');
    records.set('a', 2);
    cache.forget('a');
    answer();
    assert.equal((await early).valid, false);
    assert.equal(await get('a'), 2);
  });

  it('begins a read of its own for whoever asks after a change was noticed', async () => {
    const records = new Map([['a', 1]]);
    const { cache, answer, reads } = testCache(records);
    const early = cache.get('a');
    records.set('a', 2);
    cache.forget('a');
    const late = cache.get('a');
    answer();
    assert.deepEqual([(await early).value, (await late).value, reads()], [1, 2, 2]);
  });

  it('counts the age of a record from before it was read', async () => {
    const { cache, clock, answer, get, reads } = testCache(new Map([['a', 1]]));
    const entry = cache.get('a');
    clock.advance(600);
    answer();
    await entry;
    clock.advance(399);
    await get('a');
    assert.equal(reads(), 1);
    clock.advance(1);
    await get('a');
    assert.equal(reads(), 2);
  });

  it('trusts no record from the future, after its clock stepped back', async () => {
    const { clock, get, reads } = testCache(new Map([['a', 1]]));
    await get('a');
    clock.advance(-1);
    await get('a');
    assert.equal(reads(), 2);
  });

  it('invalidates the entry that a fresh read takes the place of', async () => {
    const { cache, answer } = testCache(new Map([['a', 1]]));
    const [first] = [cache.get('a'), answer()];
    const entry = await first;
    const [second] = [cache.get('a', true), answer()];
    await second;
    assert.equal(entry.valid, false);
  });

  it('remembers that a record is gone, though it knew it before', async () => {
    const records = new Map([['a', 1]]);
    const { clock, get, reads } = testCache(records);
    await get('a');
    records.delete('a');
    clock.advance(1000);
    assert.deepEqual([await get('a'), await get('a'), reads()], [undefined, undefined, 2]);
  });

  it('stays within its bounds, where absent names push out no record', async () => {
    const { get, reads } = testCache(new Map([['a', 1]]));
    await get('a');
    for (let name = 0; name < 100; name += 1) await get(`absent ${name}`);
    await get('a');
    assert.equal(reads(), 101);
    await get('absent 0');
    assert.equal(reads(), 102);
  });

  it('forgets nothing of a read that failed', async () => {
    let fails = true;
    const cache = createRecordCache({
      load: async () => {
        if (fails) throw new Error('down');
        return 1;
      },
      now: () => 0,
      cacheMs: 1000,
      maxSize: 4,
      maxAbsent: 4,
    });
    await assert.rejects(async () => cache.get('a'), { message: 'down' });
    fails = false;
    assert.equal((await cache.get('a')).value, 1);
  });
});
