import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import knexFactory from 'knex';
import { createVirtualKeys, type Store, type VirtualKeys } from '../../../lib/index.ts';
import { combineStores } from '../../../lib/stores/combined/combine-stores.ts';
import { migrate } from '../../../lib/stores/postgres/migrate.ts';
import { postgresStore } from '../../../lib/stores/postgres/postgres-store.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import { nanoUsd } from '../../../lib/usage/money.ts';
import { until } from '../../support/fleet/until.ts';
import { proxiedPostgres, proxiedRedis } from '../../support/proxied-stores.ts';
import { testLog } from '../../support/service.ts';
import { ownPostgresServer, type PostgresServer } from '../../support/services/postgres-server.ts';
import { newPrefix, newSchema } from '../../support/services/random-name.ts';
import { redisServer } from '../../support/services/redis-server.ts';

/** `STALL_SECONDS=30` is longer than every timeout of stores, drivers and servers. */
const stallMs = 1000 * Number(process.env.STALL_SECONDS ?? 5);
const callers = 8;

interface Load {
  /** Ends it, and answers what was spent: of calls whose settlement was begun, answered or not. */
  stop(): Promise<{ readonly calls: number; readonly costNanoUsd: number }>;
  admitted(): number;
}

/** Calls without pause, each at a cost of its own. A settlement that fails is not repeated here: the service does so. */
function callOn(services: readonly VirtualKeys[], keyId: string): Load {
  let isOver = false;
  let calls = 0;
  let costNanoUsd = 0;

  async function callOn(keys: VirtualKeys): Promise<void> {
    while (!isOver) {
      const call = await keys.admit({ keyId, model: 'm', tokens: 10, costUsd: 0.001 }).catch(() => undefined);
      if (call?.admitted !== true) {
        await sleep(5);
        continue;
      }
      calls += 1;
      const costUsd = calls / 1e6;
      costNanoUsd += nanoUsd(costUsd);
      await keys.settle(call.hold, { model: 'm', inputTokens: 1, costUsd }).catch(() => undefined);
    }
  }

  const running = Array.from({ length: callers }, (_, at) => callOn(services[at % services.length] ?? assert.fail()));
  return {
    admitted: () => calls,
    async stop() {
      isOver = true;
      await Promise.all(running);
      return { calls, costNanoUsd };
    },
  };
}

/** A service for each of the stores, and a key with a budget that no load comes to. */
async function begin(stores: readonly Store[]) {
  const services = stores.map((store) => createVirtualKeys({ store, logger: testLog() }));
  const [keys] = services;
  if (keys === undefined) assert.fail();
  const { key } = await keys.create({ name: 'Test', models: ['*'], maxBudget: 1000, maxParallelRequests: 1000 });
  return { services, keys, keyId: key.id, load: callOn(services, key.id) };
}

type Begun = Awaited<ReturnType<typeof begin>>;

/** Calls are admitted that were not before. */
async function goesOn({ load }: Begun): Promise<void> {
  const before = load.admitted();
  await until(
    'Calls are admitted',
    async () => load.admitted(),
    (now) => now > before + callers,
  );
}

/** Every call was charged what it was settled at, once, and nothing is held. */
async function assertExact({ keys, keyId, load }: Begun): Promise<void> {
  const { calls, costNanoUsd } = await load.stop();
  assert.ok(calls > 2 * callers, `${calls} calls`);
  const { spend } = await until(
    'Every hold ends',
    () => keys.balance(keyId),
    ({ openRequests, held, spend }) => openRequests === 0 && held === 0 && nanoUsd(spend) === costNanoUsd,
  );
  assert.equal(nanoUsd(spend), costNanoUsd);
  const { totals } = await until(
    'The record of usage has every call',
    () => keys.usage({ keyId }),
    ({ totals: { requests } }) => requests >= calls,
  );
  assert.deepEqual([totals.requests, nanoUsd(totals.costUsd)], [calls, costNanoUsd]);
}

async function end({ services }: Begun, ...closing: readonly { close(): Promise<void> }[]): Promise<void> {
  for (const keys of services) await keys.close();
  for (const each of closing) await each.close();
}

describe('Calls under way while a connection stalls', function () {
  this.timeout(60_000 + 2 * stallMs);

  async function assertStallIsHarmless(
    stores: readonly Store[],
    proxies: readonly { fail(fault: { type: 'stall' }): void; heal(): void }[],
    closing: readonly { close(): Promise<void> }[],
  ): Promise<void> {
    const begun = await begin(stores);
    await goesOn(begun);
    for (const proxy of proxies) proxy.fail({ type: 'stall' });
    await sleep(stallMs);
    for (const proxy of proxies) proxy.heal();
    await goesOn(begun);
    await assertExact(begun);
    await end(begun, ...closing);
  }

  it(`are charged once, and go on afterwards, on Postgres that stalls for ${stallMs / 1000} s`, async () => {
    const opened = await proxiedPostgres();
    await assertStallIsHarmless([opened.store], [opened.proxy], [opened]);
  });

  for (const [half, pick] of [
    ['Redis', [1]],
    ['Postgres', [0]],
    ['both', [0, 1]],
  ] as const) {
    it(`are charged once, and go on afterwards, on a combined store of which ${half} stalls for as long`, async () => {
      const halves = [await proxiedPostgres(), await proxiedRedis()] as const;
      const [records, ledger] = halves;
      const store = combineStores({ records: records.store, ledger: ledger.store });
      await assertStallIsHarmless(
        [store],
        pick.map((at) => halves[at].proxy),
        [ledger, records],
      );
    });
  }
});

describe('Calls under way while Postgres is killed and starts again', function () {
  this.timeout(120_000);
  let server: PostgresServer;
  let closing: { close(): Promise<void> }[];

  before(async () => {
    // What is answered is on the disk, as by default.
    server = await ownPostgresServer({ fsync: true });
  });

  beforeEach(() => {
    closing = [];
  });

  after(() => server.stop());

  async function postgres(schema: string) {
    const ignore = () => undefined;
    const knex = knexFactory({
      client: 'pg',
      connection: server.url,
      pool: { min: 0, max: 10 },
      acquireConnectionTimeout: 1000,
      log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
    });
    await migrate(knex, { schema });
    const store = postgresStore({ knex, schema });
    closing.push({ close: () => store.close() }, { close: () => knex.destroy() });
    return store;
  }

  async function killTwice(begun: Begun): Promise<void> {
    for (const stop of [server.kill, server.shutDown]) {
      await goesOn(begun);
      await stop();
      await sleep(300);
      await server.restart();
    }
    await goesOn(begun);
  }

  it('lose nothing that was settled, and are charged once, by two processes', async () => {
    const schema = newSchema();
    const begun = await begin([await postgres(schema), await postgres(schema)]);
    await killTwice(begun);
    await assertExact(begun);
    await end(begun, ...closing);
  });

  it('go on under records that are known, and reach the archive once, on a combined store', async () => {
    const [schema, prefix, { url }] = [newSchema(), newPrefix(), await redisServer()];
    const combined = async () => {
      const client = new Redis(url);
      const store = combineStores({ records: await postgres(schema), ledger: redisStore({ client, prefix }) });
      closing.push({ close: async () => client.disconnect() });
      return store;
    };
    const begun = await begin([await combined(), await combined()]);
    await goesOn(begun);
    await server.kill();
    await goesOn(begun);
    await server.restart();
    await killTwice(begun);
    await assertExact(begun);
    await end(begun, ...closing);
  });
});
