import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { noLimits } from '../../lib/limits/limit.ts';
import { createPlan } from '../../lib/limits/plan.ts';
import { randomId } from '../../lib/random-id.ts';
import type { AdmitRequest, Hold, ScopeBalance, SettleRequest, SettleResult } from '../../lib/stores/store.ts';
import type { UsageEvent } from '../../lib/usage/usage.ts';
import { eventually } from './eventually.ts';
import { type RedisSession, redisSession } from './redis-session.ts';
import { withRedis } from './services/redis-server.ts';
import { redisWithReplica } from './services/redis-with-replica.ts';

/** One call, and when the primary answered what was asked for it. */
export interface Call {
  readonly request: AdmitRequest;
  hold?: Hold;
  admittedAtMs?: number;
  settledAtMs?: number;
}

/** What the ledger says of the key. */
export interface Books {
  readonly balance: ScopeBalance;
  /** By hold. */
  readonly events: ReadonlyMap<string, UsageEvent>;
}

export interface FailedOver {
  readonly calls: readonly Call[];
  /** When the newest write was asked for that the replica has: it has all that was answered before. */
  readonly seenAtMs: number;
  /** From then to the last answer. */
  readonly behindMs: number;
  /** As the replica has it, before anybody repeats anything. */
  readonly found: Books;
  /** Of each call, settled again whatever was answered before. Those whose admission was not answered ask for it first. */
  readonly repeated: ReadonlyMap<Call, SettleResult>;
  /** What was answered, and the replica had never heard of. */
  readonly lost: { readonly admissions: readonly Call[]; readonly settlements: readonly Call[] };
  /** The most that was answered within a stretch of `behindMs`: the rate at its highest times the lag. */
  readonly bound: { readonly admissions: number; readonly settlements: number };
  settleAll(): Promise<ReadonlyMap<Call, SettleResult>>;
  books(): Promise<Books>;
  stop(): Promise<void>;
}

export interface FailoverOptions {
  /** How much later the replica hears of what the primary did. */
  readonly lagMs: number;
  readonly callers: number;
  readonly loadMs: number;
}

const estimateNanoUsd = 1_000_000;
/** More would wait for each other longer than a connection may be silent. */
const settledAtOnce = 500;
const scopeId = 'key:one';

/** Kills a primary while callers admit and settle, has the replica take over, and repeats all calls. */
export async function failOverUnderLoad({ lagMs, callers, loadMs }: FailoverOptions): Promise<FailedOver> {
  const redis = await redisWithReplica({ lagMs });
  // The client resends nothing by itself, so that nothing is repeated before the replica is looked at.
  const session = redisSession(redis.url, { maxRetriesPerRequest: 0 });
  const { client, store, prefix } = session;
  const marker = `${prefix}seen`;
  await seed(session);

  const load = startLoad(session, { callers, marker });
  await pause(loadMs);
  load.stop();
  await redis.failOver();
  const calls = await load.calls;
  const seenAtMs = await withRedis(redis.replica.port, async (replica) => Number(await replica.get(marker)));
  await eventually(async () => client.status === 'ready', 'A connection to the replica');

  async function settleAll(): Promise<ReadonlyMap<Call, SettleResult>> {
    const settled = new Map<Call, SettleResult>();
    for (let from = 0; from < calls.length; from += settledAtOnce) {
      await Promise.all(
        calls.slice(from, from + settledAtOnce).map(async (call) => {
          settled.set(call, await store.settle(settlementOf(call)));
        }),
      );
    }
    return settled;
  }

  const found = await booksOf(session);
  for (const call of calls) call.hold ??= await admit(session, call.request);
  const repeated = await settleAll();
  const admittedAtMs = calls.flatMap((call) => call.admittedAtMs ?? []);
  const settledAtMs = calls.flatMap((call) => call.settledAtMs ?? []);
  const behindMs = Math.max(...admittedAtMs, ...settledAtMs) - seenAtMs;
  return {
    calls,
    seenAtMs,
    behindMs,
    found,
    repeated,
    lost: {
      admissions: calls.filter((call) => call.admittedAtMs && repeated.get(call)?.state === 'lost_hold'),
      settlements: calls.filter((call) => call.settledAtMs && !found.events.has(call.request.holdId)),
    },
    bound: { admissions: most(admittedAtMs, behindMs), settlements: most(settledAtMs, behindMs) },
    settleAll,
    books: () => booksOf(session),
    async stop() {
      await session.close();
      await redis.stop();
    },
  };
}

/** Of these moments, the most that lie within one stretch of this length. */
function most(momentsMs: readonly number[], lengthMs: number): number {
  const sorted = [...momentsMs].sort((a, b) => a - b);
  let from = 0;
  let found = 0;
  for (const [to, momentMs] of sorted.entries()) {
    while ((sorted[from] ?? 0) < momentMs - lengthMs) from += 1;
    found = Math.max(found, to - from + 1);
  }
  return found;
}

/** What a call cost: another amount for nearly each, so that no two mistakes cancel each other. */
export function costOf({ request }: Call): number {
  return estimateNanoUsd - Number.parseInt(Buffer.from(request.holdId).toString('hex').slice(-4), 16);
}

function startLoad({ store, client }: RedisSession, { callers, marker }: { callers: number; marker: string }) {
  const calls: Call[] = [];
  let isOver = false;

  async function call(): Promise<void> {
    const next: Call = { request: requestOf() };
    calls.push(next);
    const isLong = calls.length % 10 === 0;
    const verdict = await store.admit(next.request);
    if (verdict.outcome !== 'admitted') assert.fail(verdict.outcome);
    next.hold = verdict.hold;
    next.admittedAtMs = performance.now();
    if (isLong) return;
    const { state } = await store.settle(settlementOf(next));
    assert.equal(state, 'settled');
    next.settledAtMs = performance.now();
  }

  async function again(act: () => Promise<unknown>): Promise<void> {
    while (!isOver) {
      await act().catch((error) => {
        // Nobody answers any more.
        if (!isOver) throw error;
      });
    }
  }

  const acting = [
    again(() => client.set(marker, performance.now())),
    ...Array.from({ length: callers }, () => again(call)),
  ];
  return {
    calls: Promise.all(acting).then((): readonly Call[] => calls),
    stop() {
      isOver = true;
    },
  };
}

async function seed({ store, client }: RedisSession): Promise<void> {
  const unseeded = await store.admit(requestOf());
  if (unseeded.outcome !== 'unseeded') assert.fail(unseeded.outcome);
  for (const { scopeId: scope, nonce } of unseeded.scopes) await store.seed(scope, nonce, 1, []);
  assert.equal(await client.wait(1, 10_000), 1);
}

async function admit({ store }: RedisSession, request: AdmitRequest): Promise<Hold> {
  const verdict = await store.admit(request);
  if (verdict.outcome !== 'admitted') assert.fail(verdict.outcome);
  return verdict.hold;
}

async function booksOf({ store }: RedisSession): Promise<Books> {
  const [balance] = await store.balances([scopeId]);
  if (balance === undefined) assert.fail('The replica does not know the key');
  const { events } = await store.usageEvents(null, 1_000_000);
  const byHold = new Map(events.map((event) => [event.holdId, event]));
  assert.equal(byHold.size, events.length, 'a hold has two lines of usage');
  return { balance, events: byHold };
}

const limits = { ...noLimits, rpmLimit: 1e9, tpmLimit: 1e9, maxParallelRequests: 1e9, maxBudgetNanoUsd: 1e15 };
const scopes = [{ scopeId, revision: 1, anchorMs: 0, rateLimitEnabled: true, limits }] as const;
const plan = createPlan(scopes, 'gpt-4o', Date.now());

function requestOf(): AdmitRequest {
  return {
    holdId: randomId(),
    plan,
    mintedAtMs: Date.now(),
    amounts: { tokens: 10, costNanoUsd: estimateNanoUsd },
    subject: { keyId: 'one', ownerId: null, teamId: null, model: 'gpt-4o', endpoint: null },
    notAfterMs: null,
    leaseMs: 120_000,
    onAbandoned: 'charge',
    trace: null,
  };
}

function settlementOf(call: Call): SettleRequest {
  const { hold } = call;
  if (hold === undefined) assert.fail('The call was never admitted');
  const usage = { inputTokens: 6, outputTokens: 3, cacheReadTokens: 0, cacheWriteTokens: 0 };
  return { hold, usage, costNanoUsd: costOf(call), source: 'reported', model: 'gpt-4o' };
}
