import assert from 'node:assert/strict';
import { StoreUnavailableError } from '../../../lib/errors.ts';
import { createRetries } from '../../../lib/keys/retries.ts';
import { shownUsageEvent } from '../../../lib/keys/settlements.ts';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import type { SettleRequest } from '../../../lib/stores/store.ts';
import { eventually } from '../../support/eventually.ts';
import { admittedHold, call, createKey, storeWith, testLog, testService } from '../../support/service.ts';

const unavailable = { code: 'store_unavailable', status: 503 };

/** A service on a store that settles and cancels only while it is up. */
function failingService() {
  const store = memoryStore();
  const state = { isUp: false, settlements: [] as SettleRequest[] };
  const whileUp = <T>(act: () => T): T => {
    if (!state.isUp) throw new StoreUnavailableError();
    return act();
  };
  const service = testService({
    store: storeWith(store, {
      settle: async (request) => {
        state.settlements.push(request);
        return whileUp(() => store.settle(request));
      },
      cancel: async (hold) => whileUp(() => store.cancel(hold)),
    }),
  });
  return { ...service, state };
}

describe('createVirtualKeys: settle and close', () => {
  it('settles exactly once what could not be settled while the store was down, and tells of it then', async () => {
    const { keys, state } = failingService();
    const { key } = await createKey({ keys }, { maxBudget: 5 });
    const hold = admittedHold(await keys.admit(call(key.id, { costUsd: 1 })));
    const recorded: unknown[] = [];
    keys.on('usage.recorded', ({ holdId, costUsd }) => recorded.push({ holdId, costUsd }));
    await assert.rejects(keys.settle(hold, { inputTokens: 9, costUsd: 2 }), unavailable);
    await assert.rejects(keys.settle(hold, { inputTokens: 9, costUsd: 2 }), unavailable);
    state.isUp = true;
    await keys.close();
    assert.equal(state.settlements.length, 4);
    assert.deepEqual(recorded, [{ holdId: hold.holdId, costUsd: 2 }]);
    const { spend, held, openRequests } = await keys.balance(key.id);
    assert.deepEqual({ spend, held, openRequests }, { spend: 2, held: 0, openRequests: 0 });
  });

  it('cancels in the background what could not be cancelled while the store was down', async () => {
    const { keys, state } = failingService();
    const { key } = await createKey({ keys }, { maxParallelRequests: 1 });
    await assert.rejects(keys.cancel(admittedHold(await keys.admit(call(key.id)))), unavailable);
    state.isUp = true;
    await keys.close();
    assert.equal((await keys.admit(call(key.id))).admitted, true);
  });

  it('tells once of a settlement that the store makes in time and answers too late', async () => {
    const store = memoryStore();
    const answers: (() => void)[] = [];
    const service = testService({
      storeTimeoutMs: 5,
      store: storeWith(store, {
        settle: async (request) => {
          const result = await store.settle(request);
          await new Promise<void>((resolve) => answers.push(resolve));
          return result;
        },
      }),
    });
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 1 });
    const told: string[] = [];
    for (const event of ['usage.recorded', 'budget.exceeded'] as const) keys.on(event, () => told.push(event));
    const hold = admittedHold(await keys.admit(call(key.id)));
    await assert.rejects(keys.settle(hold, { costUsd: 2 }), unavailable);
    assert.deepEqual(told, []);
    for (const answer of answers) answer();
    await eventually(() => told.length > 1 && answers.length > 1);
    for (const answer of answers) answer();
    await keys.close();
    assert.deepEqual(told, ['usage.recorded', 'budget.exceeded']);
  });

  it('tells once of a settlement that the store makes and whose answer is lost, and of what it charged', async () => {
    const store = memoryStore();
    let isLost = true;
    const service = testService({
      store: storeWith(store, {
        settle: async (request) => {
          const result = await store.settle(request);
          if (isLost) throw new StoreUnavailableError();
          return result;
        },
      }),
    });
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 1 });
    const told: unknown[] = [];
    keys.on('usage.recorded', (event) => told.push(event));
    keys.on('budget.exceeded', ({ budget }) => told.push({ spend: budget?.spend }));
    const hold = admittedHold(await keys.admit(call(key.id, { trace: 'a' })));
    await assert.rejects(keys.settle(hold, { inputTokens: 3, costUsd: 2 }), unavailable);
    await assert.rejects(keys.settle(hold, { inputTokens: 3, costUsd: 2 }), unavailable);
    isLost = false;
    await keys.close();
    const { events } = await store.usageEvents(null, 10);
    assert.deepEqual(told, [...events.map(shownUsageEvent), { spend: 2 }]);
    assert.equal(events.length, 1);
  });

  it('tells nothing of a call that was ended before, where no answer was lost', async () => {
    const service = testService();
    const { keys } = service;
    const { key } = await createKey(service, { maxBudget: 1 });
    const told: unknown[] = [];
    keys.on('usage.recorded', (event) => told.push(event));
    const hold = admittedHold(await keys.admit(call(key.id)));
    await keys.cancel(hold);
    assert.equal((await keys.settle(hold, { costUsd: 2 })).state, 'already');
    await keys.close();
    assert.deepEqual(told, []);
  });

  it('waits when it closes for settlements that have begun, and not for holds that are open', async () => {
    const store = memoryStore();
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const service = testService({
      storeTimeoutMs: 60_000,
      store: storeWith(store, {
        settle: async (request) => {
          await answered;
          return store.settle(request);
        },
      }),
    });
    const { keys } = service;
    const { key } = await createKey(service);
    const [settling] = [admittedHold(await keys.admit(call(key.id))), await keys.admit(call(key.id))];
    const order: string[] = [];
    const settled = keys.settle(settling, {}).then(() => order.push('settled'));
    const closed = keys.close().then(() => order.push('closed'));
    answer();
    await Promise.all([settled, closed]);
    assert.deepEqual(order, ['settled', 'closed']);
  });

  it('waits as well for the repetition of a settlement that fails while it closes', async () => {
    const { keys, state } = failingService();
    const { key } = await createKey({ keys });
    const hold = admittedHold(await keys.admit(call(key.id)));
    const settled = keys.settle(hold, { costUsd: 2 });
    const closed = keys.close();
    await assert.rejects(settled, unavailable);
    state.isUp = true;
    await closed;
    assert.equal((await keys.get(key.id)).spend, 2);
  });

  it('waits no longer than it was told, and takes only a time that can be waited', async () => {
    const store = memoryStore();
    const service = testService({
      storeTimeoutMs: 60_000,
      store: storeWith(store, { settle: () => new Promise(() => undefined) }),
    });
    const { key } = await createKey(service);
    void service.keys.settle(admittedHold(await service.keys.admit(call(key.id))), {});
    await service.keys.close({ timeoutMs: 1 });
    for (const timeoutMs of [-1, Number.NaN, '5' as unknown as number]) {
      await assert.rejects(service.keys.close({ timeoutMs }), { code: 'invalid_request', param: 'timeoutMs' });
    }
  });

  it('hears no more of the store once it is closed, which stays open for others', async () => {
    const service = testService();
    const { key } = await createKey(service);
    const hold = await service.keys.admit(call(key.id));
    const heard: object[] = [];
    service.keys.on('hold.abandoned', (event) => heard.push(event));
    await service.keys.close();
    const other = testService({ store: service.store, clock: service.clock });
    service.clock.advance(120_000);
    assert.equal((await other.keys.renew(admittedHold(hold))).state, 'ended');
    assert.deepEqual(heard, []);
  });
});

describe('createRetries', () => {
  it('stops repeating after ten minutes, with a line in the log', async () => {
    const logger = testLog();
    let nowMs = 0;
    let acts = 0;
    const retries = createRetries({ logger, now: () => nowMs });
    const act = async () => {
      acts += 1;
      nowMs += 5 * 60_000;
      throw new StoreUnavailableError();
    };
    await assert.rejects(async () => retries.run(act), unavailable);
    await retries.settled(10_000);
    assert.equal(acts, 3);
    assert.deepEqual(logger.lines, [
      'error: A settlement was given up after ten minutes without the store; its hold ends by its lease',
    ]);
  });

  it('repeats in the order in which they came what waits for the store, as soon as it is told that the store is back', async () => {
    const retries = createRetries({ logger: testLog(), now: () => 0 });
    const order: number[] = [];
    let isUp = false;
    const act = (number: number) => async () => {
      if (!isUp) throw new StoreUnavailableError();
      order.push(number);
    };
    for (let number = 0; number < 50; number += 1)
      await assert.rejects(async () => retries.run(act(number)), unavailable);
    isUp = true;
    retries.hurry();
    await retries.settled(200);
    assert.deepEqual(
      order,
      Array.from({ length: 50 }, (_, number) => number),
    );
  });

  it('lets one act that fails alone hold up none of those behind it', async () => {
    const retries = createRetries({ logger: testLog(), now: () => 0 });
    const fail = async () => {
      throw new StoreUnavailableError();
    };
    let isUp = false;
    let done = 0;
    await assert.rejects(async () => retries.run(fail), unavailable);
    for (let number = 0; number < 5; number += 1) {
      const act = async () => {
        if (!isUp) throw new StoreUnavailableError();
        done += 1;
      };
      await assert.rejects(async () => retries.run(act), unavailable);
    }
    isUp = true;
    retries.hurry();
    await retries.settled(50);
    assert.equal(done, 5);
  });

  it('tells what is given up, after ten minutes or because too many wait', async () => {
    const logger = testLog();
    let nowMs = 0;
    const retries = createRetries({ logger, now: () => nowMs });
    const givenUp: string[] = [];
    const fail = async () => {
      throw new StoreUnavailableError();
    };
    const run = async (name: string) => {
      await assert.rejects(async () => retries.run(fail, () => givenUp.push(name)), unavailable);
    };
    for (let number = 0; number < 10_000; number += 1) await run('late');
    await run('too many');
    assert.deepEqual(givenUp, ['too many']);
    nowMs = 10 * 60_000;
    retries.hurry();
    await retries.settled(5000);
    assert.equal(givenUp.filter((name) => name === 'late').length, 10_000);
  });

  it('repeats nothing that fails for a reason of its own', async () => {
    const retries = createRetries({ logger: testLog(), now: () => 0 });
    let acts = 0;
    const fail = () => {
      acts += 1;
      throw new TypeError('a bug');
    };
    await assert.rejects(async () => retries.run(fail), TypeError);
    await retries.settled(1000);
    assert.equal(acts, 1);
  });
});
