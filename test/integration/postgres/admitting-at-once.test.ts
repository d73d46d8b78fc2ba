import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Knex } from 'knex';
import pg from 'pg';
import type { ScopeId } from '../../../lib/limits/limit.ts';
import type { Fence } from '../../../lib/stores/combinable.ts';
import { admitAct } from '../../../lib/stores/postgres/acts.ts';
import { createAdmitAtOnce } from '../../../lib/stores/postgres/admitting-at-once.ts';
import { createExpectedScopes } from '../../../lib/stores/postgres/expected-scopes.ts';
import { clockMsSql } from '../../../lib/stores/postgres/now.ts';
import { type PostgresStoreOptions, postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import type { ScopeRow } from '../../../lib/stores/postgres/working-set.ts';
import type { StoreNotice } from '../../../lib/stores/store.ts';
import {
  type Caller,
  createCaller,
  createKnownCaller,
  keyScope,
  keyWith,
  limited,
} from '../../../lib/testing/store-suite/caller.ts';
import { concurrently } from '../../../lib/testing/store-suite/concurrent.ts';
import { standingOf } from '../../../lib/testing/store-suite/standing.ts';
import type { Session } from '../../../lib/testing/store-suite/store-case.ts';
import { createTestClock, type TestClock } from '../../../lib/testing/store-suite/test-clock.ts';
import { eventually } from '../../support/eventually.ts';
import { createPostgresSchema, type PostgresSchema } from '../../support/services/postgres-schema.ts';
import { postgresServer } from '../../support/services/postgres-server.ts';

/** What the driver is asked for: text, or a statement with values. */
type Message = string | { readonly text: string };

/** A connection whose messages about scopes are counted, and can be held up before they are sent. */
interface Watched {
  readonly pool: Knex.PoolConfig;
  messages: number;
  holdUp: ((text: string) => Promise<unknown> | undefined) | undefined;
}

function watched(): Watched {
  const watch: Watched = {
    messages: 0,
    holdUp: undefined,
    pool: {
      min: 0,
      max: 1,
      afterCreate(client: { query: (message: Message, ...rest: unknown[]) => unknown }, done: () => void) {
        const query = client.query.bind(client);
        client.query = (message, ...rest) => {
          const text = typeof message === 'string' ? message : message.text;
          if (/scopes|rollback/.test(text)) watch.messages += 1;
          const held = watch.holdUp?.(text);
          return held === undefined ? query(message, ...rest) : held.then(() => query(message, ...rest));
        };
        done();
      },
    },
  };
  return watch;
}

const atOnce = /^with locked/;

interface Options {
  readonly notifications?: PostgresStoreOptions['notifications'];
  /** In place of the database's own. */
  readonly clock?: TestClock;
}

describe('admissions of postgresStore whose scopes nobody else has changed', () => {
  let tables: PostgresSchema;
  let others: PostgresSchema;
  let watch: Watched;
  let ends: (() => Promise<void>)[];

  before(async () => {
    watch = watched();
    tables = await createPostgresSchema({ pool: watch.pool });
    others = await createPostgresSchema({ schema: tables.schema });
  });

  beforeEach(async () => {
    await tables.empty();
    ends = [];
  });

  afterEach(async () => {
    watch.holdUp = undefined;
    for (const end of ends) await end();
  });

  after(async () => {
    await others.drop({ keep: true });
    await tables.drop();
  });

  function open({ knex, schema }: PostgresSchema, { notifications = 'poll', clock }: Options = {}): Session {
    const store = postgresStore({ knex, schema, notifications, pollMs: 60_000 });
    ends.push(() => store.close());
    ends.push(async () => closing());
    const notices: StoreNotice[] = [];
    const closing = store.open({ clock: clock?.now, logger: console, onNotice: (notice) => notices.push(notice) });
    return { store, clock: clock ?? { ...createTestClock(), now: Date.now }, notices };
  }

  /** Callers under these scopes: one of whose next admission the rows are expected, and one in another process. */
  async function settledCallers(scopes = [keyWith()], options: Options = { clock: createTestClock() }, own = tables) {
    const session = open(own, options);
    if (options.notifications === 'listen')
      await eventually(() => session.notices.length > 0, 'That notices are heard');
    const caller = await createKnownCaller(session, ...scopes);
    for (let count = 0; count < 2; count += 1) await session.store.cancel(await caller.hold());
    const otherSession = open(others, options);
    return { session, caller, otherSession, other: createCaller(otherSession, ...scopes) };
  }

  async function raiseFence(fence: Pick<Fence, 'scopeId' | 'revision' | 'isNew'>): Promise<void> {
    const store = postgresStore({ knex: others.knex, schema: tables.schema, notifications: 'poll' });
    await store.fence({ id: randomUUID(), isClosed: false, carries: [], ...fence });
  }

  async function messagesOf<T>(ask: () => Promise<T>): Promise<{ readonly result: T; readonly messages: number }> {
    const before = watch.messages;
    return { result: await ask(), messages: watch.messages - before };
  }

  for (const notifications of ['listen', 'poll'] as const) {
    it(`take one message, and count (${notifications})`, async () => {
      const scopes = [keyWith({ rpmLimit: 100 }), limited('team:red', { tpmLimit: 1000 }), noRecord('global')];
      const { session, caller } = await settledCallers(scopes, { notifications, clock: createTestClock() });
      for (let count = 0; count < 8; count += 1) {
        const { result, messages } = await messagesOf(() => caller.admit({ tokens: 10, costUsd: 1 }));
        assert.deepEqual([result.outcome, messages], ['admitted', 1]);
      }
      const { messages } = await messagesOf(() => concurrently(5, () => caller.hold({ tokens: 10, costUsd: 1 })));
      assert.equal(messages, 1);
      assert.deepEqual(
        [await standingOf(session.store, keyScope), await standingOf(session.store, 'team:red')],
        [
          { openHolds: 13, windows: { rpm: 15 }, budgets: { main: { spent: 0, held: 13 } } },
          { openHolds: 0, windows: { tpm: 130 }, budgets: {} },
        ],
      );
    });
  }

  it('are judged by what another process has taken meanwhile', async () => {
    const { caller, other } = await settledCallers([keyWith({ maxParallelRequests: 3 })]);
    await caller.hold();
    await other.hold();
    await caller.hold();
    await other.refused();
    assert.equal((await caller.refused()).by, `${keyScope}/parallel`);
  });

  it('are judged by what another process has given back meanwhile', async () => {
    const { caller, other } = await settledCallers([keyWith({ maxParallelRequests: 1 })]);
    const hold = await caller.hold();
    await other.settle(hold);
    assert.equal((await caller.admit()).outcome, 'admitted');
  });

  it('are judged by all of their scopes, of which one has changed', async () => {
    const red = limited('team:red', { maxParallelRequests: 2 });
    const { session, caller, otherSession } = await settledCallers([keyWith(), red]);
    await caller.hold();
    const other = await createKnownCaller(otherSession, limited('key:other'), red);
    await other.hold();
    assert.equal((await caller.refused()).by, 'team:red/parallel');
    assert.equal((await standingOf(session.store, keyScope))?.openHolds, 1);
  });

  it('are judged by a fence that was raised meanwhile', async () => {
    const { session, caller } = await settledCallers();
    await raiseFence({ scopeId: keyScope, revision: 2, isNew: false });
    assert.deepEqual(await caller.admit(), { outcome: 'stale', scopeId: keyScope, revision: 2 });
    assert.equal((await standingOf(session.store, keyScope))?.openHolds, 0);
  });

  it('are judged by a record that there was none of before', async () => {
    const { caller } = await settledCallers([keyWith(), noRecord('team:red')]);
    await raiseFence({ scopeId: 'team:red', revision: 5, isNew: true });
    assert.deepEqual(await caller.admit(), { outcome: 'stale', scopeId: 'team:red', revision: 5 });
  });

  it('take the time after a wait for locks', async () => {
    const { caller } = await settledCallers([keyWith()], {});
    const locker = new pg.Client({ connectionString: (await postgresServer()).url });
    await locker.connect();
    await locker.query('begin');
    await locker.query(`select from "${tables.schema}".scopes where id = $1 for no key update`, [keyScope]);
    const waiting = caller.hold();
    await eventually(async () => {
      const found = await others.run(`select from pg_stat_activity where wait_event_type = 'Lock' and query ~ ?`, [
        tables.schema,
      ]);
      return found.length > 0;
    }, 'That a lock is waited for');
    const { rows } = await locker.query<{ ms: string }>(`select ${clockMsSql} as ms`);
    await locker.query('commit');
    await locker.end();
    const { atMs } = await waiting;
    assert.ok(atMs >= Number(rows[0]?.ms), `${atMs} is before ${rows[0]?.ms}`);
  });

  it('are judged at the time when they arrive, should that take long', async () => {
    const { caller } = await settledCallers([keyWith()], {});
    let arrivesAtMs = 0;
    watch.holdUp = (text) => (atOnce.test(text) ? pause(150).then(() => (arrivesAtMs = Date.now())) : undefined);
    const { result, messages } = await messagesOf(() => caller.hold());
    assert.equal(messages, 3);
    assert.ok(arrivesAtMs > 0 && result.atMs >= arrivesAtMs, `${result.atMs} is before ${arrivesAtMs}`);
  });

  it('are refused when their end has come on the way', async () => {
    const { caller } = await settledCallers([keyWith()], {});
    watch.holdUp = (text) => (atOnce.test(text) ? pause(60) : undefined);
    assert.equal((await caller.admit({ notAfterMs: Date.now() + 40 })).outcome, 'expired');
  });

  it('have the verdict that was given to the same id before, and take nothing again', async () => {
    const { session, caller, other } = await settledCallers([keyWith({ rpmLimit: 100 })]);
    const wish = { holdId: randomUUID(), costUsd: 1 };
    const first = await caller.admit(wish);
    assert.deepEqual(await caller.admit(wish), first);
    await settleIn(caller);
    assert.deepEqual((await caller.admit({ ...wish, costUsd: 2 })).outcome, 'id_conflict');
    if (first.outcome === 'admitted') await other.settle(first.hold, { costUsd: 1 });
    await settleIn(caller);
    assert.deepEqual((await caller.admit(wish)).outcome, 'hold_ended');
    const standing = await standingOf(session.store, keyScope);
    assert.deepEqual(standing?.budgets, { main: { spent: 1, held: 0 } });
  });

  for (const [notifications, prepared] of [
    ['poll', 0],
    ['listen', 1],
  ] as const) {
    it(`prepare their statement where notices are heard, and nowhere else (${notifications})`, async () => {
      const fresh = await createPostgresSchema({ schema: tables.schema, pool: { min: 0, max: 1 } });
      const { caller, session } = await settledCallers(undefined, { notifications, clock: createTestClock() }, fresh);
      await caller.hold();
      const names = await fresh.run('select name from pg_prepared_statements');
      await session.store.close();
      await fresh.drop({ keep: true });
      assert.equal(names.length, prepared);
    });
  }

  it('go on when the server has forgotten the statement', async () => {
    const { caller } = await settledCallers([keyWith()], { notifications: 'listen', clock: createTestClock() });
    for (let count = 0; count < 2; count += 1) await caller.hold();
    await tables.run('deallocate all');
    for (let count = 0; count < 4; count += 1) assert.equal((await caller.admit()).outcome, 'admitted');
  });

  it('are not tried again at once where processes take turns', async () => {
    const { caller, other } = await settledCallers();
    const took: number[] = [];
    for (let count = 0; count < 4; count += 1) {
      await other.hold();
      took.push((await messagesOf(() => caller.hold())).messages);
    }
    for (let count = 0; count < 2; count += 1) took.push((await messagesOf(() => caller.hold())).messages);
    assert.deepEqual(took, [3, 2, 2, 2, 2, 1]);
  });
});

describe('createAdmitAtOnce', () => {
  let tables: PostgresSchema;
  let caller: Caller;
  let client: pg.Client;
  let end: () => Promise<void>;

  beforeEach(async () => {
    tables = await createPostgresSchema();
    const store = postgresStore({ knex: tables.knex, schema: tables.schema, notifications: 'poll' });
    const clock = { ...createTestClock(), now: Date.now };
    caller = await createKnownCaller({ store, clock, notices: [] }, keyWith());
    client = await connected();
    end = () => store.close();
  });

  afterEach(async () => {
    await client.end();
    await end();
    await tables.drop();
  });

  async function connected(): Promise<pg.Client> {
    const made = new pg.Client({ connectionString: (await postgresServer()).url });
    await made.connect();
    return made;
  }

  /** Admits with a clock that is so far ahead; answers whether it did, how many holds there are, and whether it would again. */
  async function admitAt(aheadMs: number, over = client): Promise<readonly unknown[]> {
    const expected = createExpectedScopes();
    const scopeIds = new Set([keyScope]);
    const rows = await tables.run<ScopeRow>('select id, state from scopes');
    for (let count = 0; count < 2; count += 1) expected.found(scopeIds, rows, Date.now() + aheadMs);
    const schema = `"${tables.schema}"`;
    const admitAtOnce = createAdmitAtOnce({ schema, hasSessions: () => true, clock: () => undefined, expected });
    const verdicts = await admitAtOnce(over, [admitAct(caller.admitRequest())]);
    const holds = await tables.run('select from holds');
    return [verdicts !== undefined, holds.length, expected.find(scopeIds) !== undefined];
  }

  it('writes only between the time of its verdicts and the moment from which on they may be others', async () => {
    assert.deepEqual(await admitAt(5000), [false, 0, false]);
    assert.deepEqual(await admitAt(-5000), [false, 0, false]);
    assert.deepEqual(await admitAt(0), [true, 1, true]);
  });

  it('leaves it to locks where the session has a statement that the driver did not prepare', async () => {
    await admitAt(0);
    const { rows } = await client.query<{ name: string }>('select name from pg_prepared_statements');
    const other = await connected();
    await other.query(`prepare "${rows[0]?.name}" as select 1`);
    const admitted = await admitAt(0, other);
    await other.end();
    assert.deepEqual([rows.length, admitted], [1, [false, 1, false]]);
  });
});

describe('createExpectedScopes', () => {
  const ids = (...names: ScopeId[]) => new Set(names);
  const row = { id: 'key:a', state: '[]' };

  it('expects what was found as it had been left, and forgets what was not', () => {
    const expected = createExpectedScopes();
    expected.found(ids('key:a', 'global'), [row], 5000);
    assert.equal(expected.find(ids('key:a', 'global')), undefined);
    expected.wrote([{ ...row, state: '[1]' }]);
    expected.found(ids('key:a', 'global'), [{ ...row, state: '[1]' }], 5000);
    const found = expected.find(ids('key:a', 'global'));
    assert.deepEqual([found?.rows, found?.absentIds], [[{ ...row, state: '[1]' }], ['global']]);
    assert.equal(expected.find(ids('global')), undefined);
    expected.found(ids('key:a'), [{ ...row, state: '[2]' }], 5000);
    assert.equal(expected.find(ids('key:a')), undefined);
  });

  it('expects a time that has passed by the clock of the database', () => {
    const expected = createExpectedScopes();
    for (let count = 0; count < 2; count += 1) expected.found(ids('key:a'), [row], Date.now());
    const nowMs = expected.find(ids('key:a'))?.nowMs ?? 0;
    assert.ok(nowMs <= Date.now() && nowMs > Date.now() - 100, `${nowMs}`);
  });

  it('remembers no more scopes than that it has room for them', () => {
    const expected = createExpectedScopes();
    for (let count = 0; count < 2; count += 1) expected.found(ids('key:a'), [row], 0);
    for (let index = 0; index < 5000; index += 1) expected.found(ids(`user:${index}`), [], 0);
    assert.equal(expected.find(ids('key:a')), undefined);
  });
});

/** A scope that no record limits. */
function noRecord(scopeId: ScopeId) {
  return limited(scopeId, {}, { revision: 0, limits: null });
}

/** Until the rows of its next admission are expected, whatever was found last. */
async function settleIn(caller: Caller): Promise<void> {
  for (let count = 0; count < 3; count += 1) await caller.hold();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
