import { randomUUID } from 'node:crypto';
import { RateLimiterMemory, RateLimiterUnion } from 'rate-limiter-flexible';
import type { AdmissionPlan } from '../lib/limits/limit.ts';
import { randomId } from '../lib/random-id.ts';
import { memoryStore } from '../lib/stores/memory/memory-store.ts';
import type { Store } from '../lib/stores/store.ts';
import type { UsageSubject } from '../lib/usage/usage.ts';
import { type Contender, race } from './race.ts';
import type { Bench, Ratio, Report } from './report.ts';
import { amounts, endpoint, model, scattered, sixLimits, usage } from './sample-keys.ts';
import { type LimitCount, planOf, subjectOf } from './sample-plans.ts';

const manyKeys = 100_000;
const plenty = sixLimits.rpmLimit;

/** Admits and settles on the store alone: decide, take, remember the hold, replace the estimate, append a usage event. */
export const ledgerBench: Bench = {
  name: 'ledger',
  title: 'admit + settle on the memory store',
  async run() {
    const oneKey = await run(1, { operations: 100_000, rounds: 5 });
    // Each key once a round: the first one opens the counters, which is not what is measured.
    const many = await run(manyKeys, { operations: manyKeys, rounds: 3 });
    return { figures: [...oneKey.figures, ...many.figures], ratios: [...oneKey.ratios, ...many.ratios] };
  },
};

async function run(keyCount: number, effort: { operations: number; rounds: number }): Promise<Report> {
  const at = keyCount === 1 ? 'one key' : `${keyCount.toLocaleString('en')} keys`;
  const six = `6 limits, ${at}`;
  const fourteen = `14 limits, ${at}`;
  const union = `rate-limiter-flexible, union of 6, ${at}`;
  const single = `rate-limiter-flexible, one limit, ${at}`;
  const map = `6 increments in a plain Map, ${at}`;
  const contenders: Contender[] = [
    { name: six, run: await ledger(keyCount, 6) },
    { name: fourteen, run: await ledger(keyCount, 14) },
    { name: single, run: flexibleSingle(keyCount) },
    { name: map, run: plainMap(keyCount) },
  ];
  if (keyCount === 1) contenders.push({ name: union, run: flexibleUnion() });

  const times = await race(contenders, effort);
  const timeOf = (name: string) => times.get(name) ?? Number.NaN;
  const speed = (of: string, to: string, goal?: Ratio['goal']): Ratio => ({
    of: `speed of ${of}`,
    to,
    ratio: timeOf(to) / timeOf(of),
    ...(goal && { goal }),
  });
  return {
    figures: contenders.map(({ name }) => ({ name, value: timeOf(name), unit: 'ns' })),
    ratios:
      keyCount === 1
        ? [speed(six, union, { atLeast: 6 }), speed(fourteen, union), speed(six, single), speed(six, map)]
        : [speed(six, map, { atLeast: 0.75 }), speed(fourteen, map), speed(six, single)],
  };
}

async function ledger(keyCount: number, limitCount: LimitCount): Promise<Contender['run']> {
  const store = memoryStore();
  const callers: { readonly plan: AdmissionPlan; readonly subject: UsageSubject }[] = [];
  for (let index = 0; index < keyCount; index += 1) {
    const subject = subjectOf(randomUUID(), index);
    const plan = planOf(subject, limitCount);
    callers.push({ plan, subject });
    await seed(store, plan);
  }
  const order = scattered(keyCount);
  return (operations) => {
    let admitted = 0;
    for (let operation = 0; operation < operations; operation += 1) {
      const caller = callers[order(operation)];
      if (caller === undefined) break;
      const verdict = store.admit({
        holdId: randomId(),
        mintedAtMs: Date.now(),
        plan: caller.plan,
        amounts,
        subject: caller.subject,
        notAfterMs: null,
        leaseMs: 120_000,
        onAbandoned: 'charge',
        trace: null,
      });
      if (verdict instanceof Promise || verdict.outcome !== 'admitted') break;
      const { hold } = verdict;
      const settled = store.settle({ hold, usage, costNanoUsd: 400_000, source: 'reported', model });
      if (settled instanceof Promise || settled.state !== 'settled') break;
      admitted += 1;
    }
    return admitted;
  };
}

async function seed(store: Store, plan: AdmissionPlan): Promise<void> {
  const request = { mintedAtMs: Date.now(), plan, amounts, notAfterMs: null, leaseMs: 1000, trace: null } as const;
  const subject = { keyId: '', ownerId: null, teamId: null, model, endpoint };
  const verdict = await store.admit({ ...request, holdId: randomUUID(), subject, onAbandoned: 'charge' });
  if (verdict.outcome === 'admitted') await store.cancel(verdict.hold);
  if (verdict.outcome !== 'unseeded') return;
  for (const { scopeId, nonce } of verdict.scopes) await store.seed(scopeId, nonce, 1, []);
}

function flexibleSingle(keyCount: number): Contender['run'] {
  return consume(new RateLimiterMemory({ keyPrefix: 'rpm', points: plenty, duration: 60 }), keyCount);
}

function flexibleUnion(): Contender['run'] {
  const names = ['rpm', 'rpd', 'tpm', 'tpd', 'parallel', 'budget'];
  const limiters = names.map((keyPrefix) => new RateLimiterMemory({ keyPrefix, points: plenty, duration: 60 }));
  return consume(new RateLimiterUnion(...limiters), 1);
}

function consume(limiter: RateLimiterMemory | RateLimiterUnion, keyCount: number): Contender['run'] {
  const names = Array.from({ length: keyCount }, () => randomUUID());
  const order = scattered(keyCount);
  return async (operations) => {
    let admitted = 0;
    for (let operation = 0; operation < operations; operation += 1) {
      await limiter.consume(names[order(operation)] ?? '', 1);
      admitted += 1;
    }
    return admitted;
  };
}

function plainMap(keyCount: number): Contender['run'] {
  const counts = new Map<string, number>();
  const names = Array.from({ length: keyCount }, () => {
    const keyId = randomUUID();
    return ['rpm', 'rpd', 'tpm', 'tpd', 'parallel', 'budget'].map((limit) => `${limit}/${keyId}`);
  });
  const order = scattered(keyCount);
  return (operations) => {
    let admitted = 0;
    for (let operation = 0; operation < operations; operation += 1) {
      for (const name of names[order(operation)] ?? []) counts.set(name, (counts.get(name) ?? 0) + 1);
      admitted += 1;
    }
    return admitted;
  };
}
