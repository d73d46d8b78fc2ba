import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import type { AdmissionPlan, ScopeId } from '../../../lib/limits/limit.ts';
import { createPlan, type LimitedScope } from '../../../lib/limits/plan.ts';
import type { RedisClient } from '../../../lib/stores/redis/client.ts';
import { redisStore } from '../../../lib/stores/redis/redis-store.ts';
import { shardOf } from '../../../lib/stores/shard.ts';
import type { AdmitVerdict, Hold, Store } from '../../../lib/stores/store.ts';
import {
  type Caller,
  createCaller,
  createKnownCaller,
  keyId,
  keyScope,
  keyWith,
  limited,
} from '../../../lib/testing/store-suite/caller.ts';
import { seededRandom } from '../../../lib/testing/store-suite/random.ts';
import { sampleAudit, sampleChange, samplePolicy } from '../../../lib/testing/store-suite/sample-records.ts';
import type { Session } from '../../../lib/testing/store-suite/store-case.ts';
import { createTestClock, hourMs, minuteMs } from '../../../lib/testing/store-suite/test-clock.ts';
import { noTokens } from '../../../lib/usage/usage.ts';
import { type FateOf, withScriptFates } from '../../support/faulty-commands.ts';
import { newPrefix } from '../../support/services/random-name.ts';
import { type RedisCluster, redisCluster } from '../../support/services/redis-cluster.ts';

const leaseMs = 120_000;
const counting: readonly ScopeId[] = [keyScope, 'user:ann', 'team:red'];
const maxSlots = 25;
const maxTokens = 2000;
const limits = {
  maxBudgetNanoUsd: 60_000_000_000,
  tpmLimit: maxTokens,
  rpmLimit: 100_000,
  maxParallelRequests: maxSlots,
};
const clamp = {
  inputTokens: 5,
  inputCostNanoUsd: 1_000_000,
  outputPicoUsdPerToken: 1_000_000,
  minOutputTokens: 1,
  maxOutputTokens: 400,
};

describe('redisStore: random life in several slots', function () {
  this.timeout(60_000);
  let cluster: RedisCluster;
  let client: Cluster;
  let place: Place;

  before(async () => {
    cluster = await redisCluster();
    client = new Cluster([...cluster.nodes]);
    const fates: Place['fates'] = { of: () => 'done' };
    place = { client, fates, faulty: withScriptFates(client, (keys) => fates.of(keys)) };
  });

  after(async () => {
    client.disconnect();
    await cluster.stop();
  });

  for (const seed of Array.from({ length: 10 }, (_, at) => at + 1)) {
    it(`whatever breaks, no limit is passed and all slots agree in the end with the usage record (seed ${seed})`, async () => {
      await live(place, seed, { breaks: 0.05 });
    });
  }

  it('so it is while slots are on the move', async () => {
    const moving = async () => {
      for (const [at, scopeId] of counting.entries()) {
        const slot = await client.cluster('KEYSLOT', `{${String(shardOf(scopeId)).padStart(2, '0')}}`);
        for (const turn of [1, 2, 0]) {
          const to = cluster.masters[(at + turn) % 3];
          if (to !== undefined) await cluster.migrateSlot(slot, to, () => sleep(30));
        }
      }
    };
    await live(place, 1, { breaks: 0.01, meanwhile: moving });
  });
});

interface Place {
  readonly client: Cluster;
  /** A client whose scripts meet these fates. */
  readonly faulty: RedisClient;
  readonly fates: { of: FateOf };
}

interface Life {
  /** How likely a script is lost on its way, and its answer on the way back. */
  readonly breaks: number;
  readonly meanwhile?: () => Promise<void>;
}

/** The records by which calls are judged; the one of everybody limits nothing, and changes. */
interface Records {
  readonly scopes: readonly LimitedScope[];
  readonly plan: AdmissionPlan;
  readonly revision: number;
}

/** Callers at once on two stores whose scripts are lost, before or after they ran. */
async function live({ client, faulty, fates }: Place, seed: number, { breaks, meanwhile }: Life): Promise<void> {
  const random = seededRandom(seed);
  // Where what an abandoned call was charged is corrected, an adjustment before leaves less than nothing to correct.
  const onAbandoned = seed % 2 === 0 ? 'release' : 'charge';
  const prefix = newPrefix();
  const clock = createTestClock();
  const stores = [redisStore({ client: faulty, prefix }), redisStore({ client: faulty, prefix })] as const;
  const logger = { warn: () => undefined, error: () => undefined };
  const leave = stores.map((store) => store.open({ clock: clock.now, logger, onNotice: () => undefined }));
  const session: Session = { store: stores[0], clock, notices: [] };

  const judgedBy = (revision: number): Records => {
    const everybody = limited('global', {}, { revision });
    const scopes = [keyWith(limits), limited('user:ann', limits), limited('team:red', limits), everybody];
    return { scopes, revision, plan: createPlan(scopes, 'gpt-4o', clock.now()) };
  };
  let records = judgedBy(0);
  let earlier = records;
  await createKnownCaller(session, ...records.scopes);

  const holds: Hold[] = [];
  /** Those that nobody has tried to end, by the end of their lease. */
  const open = new Map<string, number>();
  const ended = new Set<string>();
  const admittedAtMs = new Map<string, number>();
  const again: (() => Promise<unknown>)[] = [];
  const adjusted = new Map<string, ScopeId>();
  let answeredRevision = 0;

  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const aStore = (): Store => stores[random() < 0.5 ? 0 : 1];
  const callerOf = (judged: Records, store: Store): Caller => createCaller({ ...session, store }, ...judged.scopes);

  async function tryTo(act: () => Promise<unknown>, repeat: (() => Promise<unknown>) | undefined = act): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      if (repeat !== undefined) again.push(repeat);
    }
  }

  /** @param askedAtMs its parts count it from then on at the earliest */
  function learn(verdict: AdmitVerdict, askedAtMs: number): void {
    if (verdict.outcome === 'stale' && verdict.revision > records.revision) records = judgedBy(verdict.revision);
    if (verdict.outcome !== 'admitted') return;
    holds.push(verdict.hold);
    if (verdict.hold.callId !== '') return;
    // The answer to a second try may come late.
    if (!ended.has(verdict.hold.holdId)) open.set(verdict.hold.holdId, verdict.hold.atMs + leaseMs);
    admittedAtMs.set(verdict.hold.holdId, askedAtMs);
  }

  function noteEnd({ holdId }: Hold): void {
    ended.add(holdId);
    open.delete(holdId);
  }

  async function admit(): Promise<void> {
    const judged = random() < 0.8 ? records : earlier;
    const isClamped = random() < 0.2;
    const wish = isClamped ? { tokens: 405, costUsd: 0.401, clamp } : { tokens: 20, costUsd: 0.1 + random() };
    const request = callerOf(judged, stores[0]).admitRequest({ ...wish, plan: judged.plan, onAbandoned });
    const asked: Hold = { ...request, callId: '', home: '', takes: request.plan.takes, atMs: clock.now() };
    const isStale = judged.revision < answeredRevision;
    const ask = async () => {
      const verdict = await aStore().admit(request);
      if (isStale) assert.notEqual(verdict.outcome, 'admitted', 'a call that was judged by an older record');
      learn(verdict, request.mintedAtMs);
      return verdict;
    };
    const dice = random();
    const repeat = dice < 0.3 ? ask : dice < 0.7 ? async () => aStore().cancel(asked) : undefined;
    if (random() < 0.8) return tryTo(ask, repeat);
    // Two tries at once; then the same verdict once more.
    const twice = [ask(), ask()];
    await tryTo(async () => {
      const verdicts = (await Promise.allSettled(twice)).flatMap((one) =>
        one.status === 'fulfilled' ? [one.value] : [],
      );
      const given = verdicts.flatMap((one) => (one.outcome === 'admitted' ? [one.hold] : []));
      for (const hold of given) assert.deepEqual(hold, given[0]);
    }, undefined);
  }

  async function extend(hold: Hold): Promise<void> {
    const callId = randomUUID();
    const replacesFirst = random() < 0.5;
    // Until the first one has given back its tokens, those of both count.
    const wish = {
      callId,
      costUsd: random(),
      tokens: replacesFirst ? 0 : 10,
      replacesFirst,
      plan: records.plan,
      onAbandoned,
    } as const;
    const caller = callerOf(records, aStore());
    await tryTo(
      async () => learn(await caller.extend(hold, wish), clock.now()),
      random() < 0.5
        ? async () => aStore().cancel({ ...hold, callId })
        : async () => learn(await caller.extend(hold, wish), clock.now()),
    );
  }

  async function changePolicy(): Promise<void> {
    const store = aStore();
    const version = ((await store.findPolicy('global'))?.version ?? 0) + 1;
    const outcome = await store.putPolicy('global', samplePolicy(clock.now(), { version }), sampleChange());
    if (outcome.outcome !== 'updated') return;
    const { revision } = outcome.record;
    earlier = records;
    answeredRevision = Math.max(answeredRevision, revision);
    if (revision > records.revision) records = judgedBy(revision);
  }

  async function record(): Promise<void> {
    const subject = { keyId, ownerId: 'ann', teamId: 'red', model: 'gpt-4o', endpoint: '/v1/chat/completions' };
    const costNanoUsd = Math.floor(random() * 1e9);
    const told = {
      ...subject,
      ...noTokens,
      holdId: randomUUID(),
      callId: '',
      source: 'reported',
      requests: 1,
    } as const;
    const event = { ...told, costNanoUsd, atMs: clock.now(), trace: null };
    const { plan } = records;
    await tryTo(async () => aStore().record(event, plan));
  }

  async function adjust(): Promise<void> {
    const scopeId = pick(counting) ?? keyScope;
    const id = randomUUID();
    adjusted.set(id, scopeId);
    const subject = { keyId, ownerId: 'ann', teamId: 'red', model: null, endpoint: null };
    const budgets = [{ budgetId: 'main', periodStartMs: 0 }];
    const audit = sampleAudit();
    await tryTo(async () => aStore().adjust({ id, scopeId, budgets, subject, audit }));
  }

  async function look(): Promise<void> {
    const sure = new Set(open.keys());
    const requests = [...admittedAtMs];
    const balances = await aStore().balances(counting);
    const isOpen = (holdId: string) => (open.get(holdId) ?? 0) > clock.now();
    const held = [...sure].filter(isOpen).length;
    const requested = requests.filter(([, atMs]) => atMs > clock.now() - minuteMs).length;
    for (const { scopeId, openHolds, windows } of balances) {
      assert.ok(openHolds >= held && openHolds <= maxSlots, `${scopeId}: ${openHolds} slots, ${held} held`);
      for (const { id, used } of windows) {
        if (id === 'rpm') assert.ok(used >= requested, `${scopeId}: ${used} requests, ${requested} admitted`);
        else assert.ok(used <= maxTokens, `${scopeId}: ${used} tokens`);
      }
    }
  }

  async function step(): Promise<void> {
    const dice = random();
    const hold = pick(holds);
    const store = aStore();
    if (dice < 0.4 || hold === undefined) return admit();
    if (dice < 0.5) return extend(hold);
    if (dice < 0.72) {
      noteEnd(hold);
      // No tokens: those of a late settlement count whatever the limit is.
      const consumed = { costUsd: random() };
      return tryTo(() => callerOf(records, store).settle(hold, consumed));
    }
    if (dice < 0.78) {
      noteEnd(hold);
      return tryTo(async () => store.cancel(hold));
    }
    if (dice < 0.82) return tryTo(async () => store.renew(hold), undefined);
    if (dice < 0.86) return tryTo(() => store.sweep(10), undefined);
    if (dice < 0.88) return tryTo(changePolicy, undefined);
    if (dice < 0.9) return record();
    if (dice < 0.92) return onAbandoned === 'release' ? adjust() : undefined;
    if (dice < 0.96) return tryTo(look, undefined);
    clock.advance(Math.floor(random() * 50_000));
  }

  fates.of = (keys) => {
    // So many copies are made of a fence that else hardly a change would be answered.
    const dice = keys.length === 1 && keys[0]?.includes('}:f:') ? random() * 50 : random();
    return dice < breaks ? 'lost on its way' : dice < 2 * breaks ? 'done, and its answer lost' : 'done';
  };
  let isMoving = meanwhile !== undefined;
  const moves = (meanwhile?.() ?? Promise.resolve()).finally(() => {
    isMoving = false;
  });
  const steps = Array.from({ length: 4 }, async () => {
    for (let at = 0; at < 80 || isMoving; at += 1) await step();
  });
  await Promise.all([moves, ...steps]);

  fates.of = () => 'done';
  for (const repeat of again) await repeat();
  for (let round = 0; round < 4; round += 1) {
    clock.advance(round === 0 ? 25 * hourMs : leaseMs);
    while ((await stores[0].sweep(100)) > 0);
  }
  const { events } = await stores[0].usageEvents(null, 100_000);
  const latest = new Map(events.map((event) => [`${event.holdId} ${event.callId}`, event]));
  assert.ok(latest.size > 20, `${latest.size} events`);
  const balances = await stores[0].balances(counting);
  assert.equal(balances.length, counting.length);
  for (const { scopeId, openHolds, budgets } of balances) {
    const counted = [...latest.values()].filter(({ holdId }) => (adjusted.get(holdId) ?? scopeId) === scopeId);
    const total = counted.reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0);
    assert.equal(openHolds, 0, scopeId);
    assert.deepEqual(
      budgets.map(({ spentNanoUsd, heldNanoUsd }) => [spentNanoUsd, heldNanoUsd]),
      [[total, 0]],
      scopeId,
    );
  }
  assert.deepEqual(await keysWithoutEnd(client, prefix), []);
  for (const end of leave) end();
}

/** Everything but records and current counters goes by itself. */
async function keysWithoutEnd(client: Cluster, prefix: string): Promise<readonly string[]> {
  const found = await Promise.all(
    client.nodes('master').map(async (node) => {
      const keys = (await node.keys(`${prefix}*`)).filter((key) => !/\}:(s:|usage$|days$|leases$)/.test(key));
      const lasting = await Promise.all(keys.map(async (key) => ((await node.pttl(key)) === -1 ? [key] : [])));
      return lasting.flat();
    }),
  );
  // Those of the records are in a slot of their own.
  return found.flat().filter((key) => /\{\d\d\}/.test(key));
}
