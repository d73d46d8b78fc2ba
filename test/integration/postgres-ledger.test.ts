import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import { begin } from '../../lib/stores/postgres/connection.ts';
import { clockMsSql } from '../../lib/stores/postgres/now.ts';
import { postgresStore } from '../../lib/stores/postgres/postgres-store.ts';
import type { Hold, Store, StoreNotice } from '../../lib/stores/store.ts';
import {
  type Caller,
  createCaller,
  createKnownCaller,
  keyScope,
  keyWith,
  limited,
} from '../../lib/testing/store-suite/caller.ts';
import { concurrently } from '../../lib/testing/store-suite/concurrent.ts';
import { seededRandom } from '../../lib/testing/store-suite/random.ts';
import { standingOf } from '../../lib/testing/store-suite/standing.ts';
import type { Session } from '../../lib/testing/store-suite/store-case.ts';
import { createTestClock, minuteMs, secondMs, type TestClock } from '../../lib/testing/store-suite/test-clock.ts';
import { eventually } from '../support/eventually.ts';
import { createPostgresSchema, type PostgresSchema } from '../support/services/postgres-schema.ts';
import { postgresServer } from '../support/services/postgres-server.ts';

describe('the ledger of postgresStore', () => {
  let tables: PostgresSchema;
  let clock: TestClock;
  let ends: (() => void)[];

  before(async () => {
    tables = await createPostgresSchema();
  });

  beforeEach(async () => {
    await tables.empty();
    clock = createTestClock();
    ends = [];
  });

  afterEach(() => {
    for (const end of ends) end();
  });

  after(() => tables.drop());

  function open(store: Store): Session & { readonly errors: readonly string[] } {
    const notices: StoreNotice[] = [];
    const errors: string[] = [];
    const logger = { warn: () => undefined, error: (message: string) => errors.push(message) };
    ends.push(
      store.open({
        clock: clock.now,
        logger,
        onNotice: (notice) => void (notice.type !== 'missed' && notices.push(notice)),
      }),
    );
    ends.push(() => void store.close());
    return { store, clock, notices, errors };
  }

  function openPostgres() {
    const { knex, schema } = tables;
    return open(postgresStore({ knex, schema, notifications: 'poll', pollMs: 60_000 }));
  }

  it('locks scopes in one order, whatever the order of the plans', async () => {
    const sessions = [openPostgres(), openPostgres(), openPostgres()];
    const scopes = ['a', 'b', 'c', 'd'].map((name) => limited(`team:${name}`, { rpmLimit: 10_000 }));
    await createKnownCaller(sessions[0] as Session, keyWith(), ...scopes);
    const random = seededRandom(3);
    const before = await deadlocks(tables);
    await concurrently(150, async (index) => {
      const chosen = [...scopes].sort(() => random() - 0.5).slice(0, 3);
      const session = sessions[index % sessions.length] as Session;
      const caller = createCaller(session, ...chosen, keyWith());
      await caller.settle(await caller.hold({ costUsd: 0.01 }), { costUsd: 0.01 });
    });
    assert.equal(await deadlocks(tables), before);
    const standing = await standingOf((sessions[0] as Session).store, keyScope);
    assert.deepEqual(standing, { openHolds: 0, windows: {}, budgets: { main: { spent: 1.5, held: 0 } } });
  });

  it('decides the acts of processes that race one after the other', async () => {
    const sessions = [openPostgres(), openPostgres(), openPostgres(), openPostgres()];
    const key = keyWith({ maxBudgetNanoUsd: 5_000_000_000 });
    await createKnownCaller(sessions[0] as Session, key);
    const callers = sessions.map((session) => createCaller(session, key));
    const verdicts = await concurrently(400, (index) => (callers[index % 4] as Caller).admit({ costUsd: 0.1 }));
    assert.equal(verdicts.filter(({ outcome }) => outcome === 'admitted').length, 50);
  });

  it('answers the other acts of a batch when one of them is nonsense', async () => {
    const session = openPostgres();
    const caller = await createKnownCaller(session, keyWith({ rpmLimit: 100 }));
    const holds = await concurrently(4, () => caller.hold({ costUsd: 1 }));
    const settled = await Promise.allSettled(
      holds.map((hold, index) => caller.settle(hold, { costUsd: 1, outputTokens: index === 2 ? 0.5 : 1 })),
    );
    assert.deepEqual(
      settled.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
    );
    const standing = await standingOf(session.store, keyScope);
    assert.deepEqual(standing, { openHolds: 1, windows: { rpm: 4 }, budgets: { main: { spent: 3, held: 1 } } });
  });

  it('goes on when a process stands still inside a transaction', async () => {
    const session = openPostgres();
    const caller = await createKnownCaller(session, keyWith());
    const stopped = new pg.Client({ connectionString: (await postgresServer()).url });
    const ended = new Promise<Error>((resolve) => stopped.on('error', resolve));
    await stopped.connect();
    await stopped.query(begin);
    await stopped.query(`select from "${tables.schema}".scopes where id = $1 for no key update`, [keyScope]);
    const verdict = await retried(() => caller.admit());
    assert.equal(verdict.outcome, 'admitted');
    assert.match((await ended).message, /idle-in-transaction/);
  });

  it('serves other scopes while somebody keeps one locked', async () => {
    const session = openPostgres();
    const caller = await createKnownCaller(session, keyWith(), limited('team:red'));
    const other = await createKnownCaller(session, limited('key:other'));
    const locker = new pg.Client({ connectionString: (await postgresServer()).url });
    await locker.connect();
    await locker.query('begin');
    await locker.query(`select from "${tables.schema}".scopes where id = $1 for no key update`, [keyScope]);
    const order: string[] = [];
    const waiting = concurrently(3, () => caller.admit()).then(() => order.push('the locked one'));
    await untilLockIsWaitedFor(tables);
    const verdicts = await concurrently(3, () => other.admit());
    order.push('the others');
    await locker.query('commit');
    await waiting;
    await locker.end();
    assert.deepEqual(order, ['the others', 'the locked one']);
    assert.deepEqual(
      verdicts.map(({ outcome }) => outcome),
      ['admitted', 'admitted', 'admitted'],
    );
  });

  it('reads the time when it has got its locks, which may take a while', async () => {
    const { knex, schema } = tables;
    const store = postgresStore({ knex, schema, notifications: 'poll', pollMs: 60_000 });
    const session = { store, clock: { ...clock, now: Date.now }, notices: [] };
    const caller = await createKnownCaller(session, keyWith(), limited('team:red'));
    const locker = new pg.Client({ connectionString: (await postgresServer()).url });
    await locker.connect();
    for (const scopeId of [keyScope, 'team:red']) {
      await locker.query('begin');
      await locker.query(`select from "${schema}".scopes where id = $1 for no key update`, [scopeId]);
      const waiting = caller.hold();
      await untilLockIsWaitedFor(tables);
      const { rows } = await locker.query<{ ms: string }>(`select ${clockMsSql} as ms`);
      await locker.query('commit');
      const { atMs } = await waiting;
      assert.ok(atMs >= Number(rows[0]?.ms), `${atMs} is before ${rows[0]?.ms}`);
    }
    await locker.end();
  });

  it('answers a repeated admission as before, in whichever process, and whether or not it would fit again', async () => {
    const sessions = [openPostgres(), openPostgres()] as const;
    const key = keyWith({ maxParallelRequests: 2 });
    await createKnownCaller(sessions[0], key);
    const [one, two] = [createCaller(sessions[0], key), createCaller(sessions[1], key)];
    const wish = { holdId: randomUUID(), costUsd: 1 };
    const first = await one.admit(wish);
    assert.equal(first.outcome, 'admitted');
    assert.deepEqual(await two.admit(wish), first);
    await one.hold();
    assert.deepEqual((await one.admit()).outcome, 'refused');
    assert.deepEqual(await concurrently(2, () => two.admit(wish)), [first, first]);
    assert.deepEqual((await two.admit({ ...wish, costUsd: 2 })).outcome, 'id_conflict');
    if (first.outcome === 'admitted') await two.settle(first.hold, { costUsd: 1 });
    assert.deepEqual((await one.admit(wish)).outcome, 'hold_ended');
    const standing = await standingOf(sessions[0].store, keyScope);
    assert.deepEqual(standing, { openHolds: 1, windows: {}, budgets: { main: { spent: 1, held: 0 } } });
  });

  it('denies a scope whose row was edited into nonsense, tells so, and serves the others', async () => {
    const session = openPostgres();
    const caller = await createKnownCaller(session, keyWith(), limited('team:red'));
    const held = await caller.hold();
    for (const state of ['', '{}', '[1,1,0,0,[["rpm",60000,1,61,1]],[]]', '[1,1,0,0,[],[["main",0,null,0,0,0]]]']) {
      await tables.run('update scopes set state = ? where id = ?', [state, keyScope]);
      assert.equal((await caller.admit()).outcome, 'stale', state);
    }
    assert.equal((await caller.under(limited('team:red')).admit()).outcome, 'admitted');
    assert.equal((await caller.settle(held, { costUsd: 1 })).state, 'settled');
    assert.deepEqual(session.notices[0], { type: 'corrupt', scopeId: keyScope });
    assert.match(session.errors[0] ?? '', /^Row "key:.*" of scopes cannot be read/);
    await tables.run('delete from scopes where id = ?', [keyScope]);
    assert.equal((await caller.admit()).outcome, 'unseeded');
  });

  it('ends a hold whose row was edited into nonsense with the others', async () => {
    const session = openPostgres();
    const caller = await createKnownCaller(session, keyWith());
    const [broken] = [await caller.hold({ leaseMs: minuteMs }), await caller.hold({ leaseMs: minuteMs })];
    await tables.run('update holds set body = ? where id = ?', ['[1,[],[]]', broken.holdId]);
    clock.advance(minuteMs);
    await session.store.sweep(10);
    assert.equal(await session.store.sweep(10), 0);
    assert.equal(session.notices.filter(({ type }) => type === 'abandoned').length, 1);
    assert.equal((await caller.settle(broken)).state, 'already');
  });

  it('forgets what it has kept for long enough', async () => {
    const session = openPostgres();
    const caller = await createKnownCaller(session, keyWith());
    await caller.settle(await caller.hold());
    clock.advance(60 * minuteMs - 1);
    await session.store.sweep(1);
    assert.equal((await tables.run('select from holds')).length, 1);
    clock.advance(1);
    await session.store.sweep(1);
    assert.equal((await tables.run('select from holds')).length, 0);
  });

  it('stores names of any kind to the letter', async () => {
    const session = openPostgres();
    const names = ["o'clock", 'a\\b', "\\'; drop table scopes; --", '$1 ?', '😀', '{"a":1}'];
    for (const name of names) {
      const caller = await createKnownCaller(session, limited(`user:${name}`), limited(`team:${name}`));
      await caller.settle(await caller.hold({ trace: name, subject: { ownerId: name, model: name } }), {});
    }
    const { events } = await session.store.usageEvents(null, 100);
    assert.deepEqual(
      events.map(({ ownerId, trace }) => [ownerId, trace]),
      names.map((name) => [name, name]),
    );
  });

  for (const seed of [1, 2, 3]) {
    it(`does with a random history what memory does (${seed})`, async () => {
      const stores = [open(memoryStore()), openPostgres()] as const;
      const key = keyWith({ rpmLimit: 8, tpmLimit: 900, maxParallelRequests: 5, maxBudgetNanoUsd: 9_000_000_000 });
      const scopes = [key, limited('team:red', { tpmLimit: 1500, maxBudgetNanoUsd: 1e10, budgetDuration: 'daily' })];
      const callers = [await createKnownCaller(stores[0], ...scopes), await createKnownCaller(stores[1], ...scopes)];
      const random = seededRandom(seed);
      const below = (limit: number) => Math.floor(random() * limit);
      const holds: Hold[] = [];
      for (let step = 0; step < 120; step += 1) {
        const hold = holds[below(holds.length)];
        const act = randomAct(below, hold);
        // Memory ends every expired hold before an admission, Postgres only those that may be in its way.
        for (const { store } of stores) await store.sweep(100);
        const [expected, actual] = [
          await act(callers[0] as Caller, stores[0].store),
          await act(callers[1] as Caller, stores[1].store),
        ];
        assert.deepEqual(actual, expected, `step ${step}`);
        if (expected !== null && 'hold' in expected) holds.push(expected.hold);
        clock.advance(below(5 * secondMs));
      }
      for (const scopeId of [keyScope, 'team:red'] as const) {
        assert.deepEqual(await standingOf(stores[1].store, scopeId), await standingOf(stores[0].store, scopeId));
      }
      const query = { groupBy: ['model', 'owner'] } as const;
      assert.deepEqual(await stores[1].store.usage(query), await stores[0].store.usage(query));
      const [memory, postgres] = [
        await stores[0].store.usageEvents(null, 1000),
        await stores[1].store.usageEvents(null, 1000),
      ];
      assert.deepEqual(postgres.events, memory.events);
      assert.deepEqual(stores[1].notices, stores[0].notices);
    });
  }
});

type RandomAct = (caller: Caller, store: Store) => Promise<{ readonly hold?: Hold } | object | null>;

function randomAct(below: (limit: number) => number, hold: Hold | undefined): RandomAct {
  const kind = below(10);
  const wish = {
    holdId: randomUUID(),
    callId: randomUUID(),
    tokens: below(300),
    costUsd: below(2000) / 1000,
    leaseMs: [10 * secondMs, minuteMs][below(2)] ?? minuteMs,
    model: ['gpt-4o', 'o1'][below(2)] ?? null,
    onAbandoned: below(3) === 0 ? ('release' as const) : ('charge' as const),
    replacesFirst: below(2) === 0,
  };
  const consumed = { inputTokens: below(200), outputTokens: below(200), costUsd: below(2000) / 1000 };
  const adjustment = {
    id: wish.holdId,
    scopeId: keyScope,
    budgets: [{ budgetId: 'main', periodStartMs: 0 }],
    subject: { keyId: keyScope.slice(4), ownerId: 'ann', teamId: 'red', model: null, endpoint: null },
  };
  return async (caller, store) => {
    if (hold === undefined || kind < 4) return caller.admit(wish);
    if (kind < 6) return caller.settle(hold, consumed);
    if (kind === 6) return store.cancel(hold);
    if (kind === 7) return caller.extend(hold, wish);
    if (kind === 8) return store.renew(hold);
    const audit = { id: wish.callId, actor: { id: 'op' }, action: 'spend.reset', target: keyScope };
    return store.adjust({ ...adjustment, audit: { ...audit, before: null, after: null, reason: null } });
  };
}

async function retried<T>(ask: () => Promise<T>): Promise<T> {
  return ask().catch(ask);
}

async function untilLockIsWaitedFor(tables: PostgresSchema): Promise<void> {
  await eventually(async () => {
    const waiting = await tables.run(
      `select from pg_stat_activity where wait_event_type = 'Lock' and position(? in query) > 0`,
      [`"${tables.schema}".scopes`],
    );
    return waiting.length > 0;
  }, 'That a lock is waited for');
}

async function deadlocks(tables: PostgresSchema): Promise<number> {
  const [row] = await tables.run<{ deadlocks: string }>(
    'select deadlocks from pg_stat_database where datname = current_database()',
  );
  return Number(row?.deadlocks);
}
