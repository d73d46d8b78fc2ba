import { createVirtualKeys } from '../lib/keys/create-virtual-keys.ts';
import { type Internals, internalsOf } from '../lib/keys/internals.ts';
import { mayUseEndpoint, mayUseModel } from '../lib/keys/model-access.ts';
import type { VirtualKeys } from '../lib/keys/virtual-keys.ts';
import { memoryStore } from '../lib/stores/memory/memory-store.ts';
import { type Contender, median, quantile, race } from './race.ts';
import type { Bench, Figure, Report } from './report.ts';
import { amounts, endpoint, model, policiesOfEight, scattered, sixLimits, usage } from './sample-keys.ts';

/** Their creation takes most of the time of this bench. */
const manyKeys = 20_000;
const effort = { operations: 10_000, rounds: 9 };

/** What the middlewares ask of the service for one request: whose key, may it, does it fit, and what it consumed. */
export const serviceBench: Bench = {
  name: 'service',
  title: 'verify + access + admit + settle as one, as the middlewares do it, without HTTP',
  async run() {
    const contenders: readonly Contender[] = [
      { name: '6 limits, one key', run: await calls(1, 6) },
      { name: '14 limits, one key', run: await calls(1, 14) },
      { name: `6 limits, ${manyKeys.toLocaleString('en')} keys`, run: await calls(manyKeys, 6) },
      { name: 'verify alone, one key', run: await verifications() },
    ];
    const times = await race(contenders, effort);
    const figures = [...times].map(([name, value]): Figure => ({ name, value, unit: 'ns' }));
    const latencies = await singleTimes(await calls(1, 6));
    const spread: Figure[] = [
      { name: '6 limits, one key, p50', value: median(latencies) / 1000, unit: 'us' },
      { name: '6 limits, one key, p99', value: quantile(latencies, 0.99) / 1000, unit: 'us' },
    ];
    return { figures: [...figures, ...spread], ratios: [] };
  },
};

/** A key at its limit is the one that is asked most. */
export const denialBench: Bench = {
  name: 'denial',
  title: 'a refusal by a limit, on the service',
  async run(): Promise<Report> {
    const contenders: readonly Contender[] = [
      { name: 'refused by requests per minute', run: await denials({ rpmLimit: 1 }) },
      { name: 'refused by concurrency', run: await denials({ maxParallelRequests: 1 }) },
    ];
    const times = await race(contenders, effort);
    return { figures: [...times].map(([name, value]) => ({ name, value, unit: 'ns' })), ratios: [] };
  },
};

const demand = { model, endpoint, amounts, trace: 'req_bench' };
const consumption = { usage, model, costNanoUsd: 400_000, source: 'reported' } as const;

async function calls(keyCount: number, limitCount: 6 | 14): Promise<Contender['run']> {
  const keys = openService();
  if (limitCount === 14) {
    await keys.setPolicy({ user: 'ann' }, policiesOfEight.user);
    await keys.setPolicy({ team: 'red' }, policiesOfEight.team);
    await keys.setPolicy('global', policiesOfEight.global);
  }
  const secrets: string[] = [];
  for (let index = 0; index < keyCount; index += 1) {
    const { secret } = await keys.create({
      name: 'Bench',
      models: ['gpt-4o*'],
      ownerId: 'ann',
      teamId: 'red',
      ...sixLimits,
    });
    secrets.push(secret);
  }
  const service = internalsOf('bench', keys);
  const order = scattered(keyCount);
  return async (operations) => {
    let admitted = 0;
    for (let operation = 0; operation < operations; operation += 1) {
      if (await call(service, secrets[order(operation)] ?? '')) admitted += 1;
    }
    return admitted;
  };
}

/** @throws Error where the call is refused */
export async function callOnce(service: Internals, secret: string): Promise<void> {
  if (!(await call(service, secret))) throw new Error('A call was refused');
}

async function call(service: Internals, secret: string): Promise<boolean> {
  const verification = await service.verify(secret);
  if (!verification.valid) return false;
  const { principal } = verification;
  if (!mayUseModel(principal, model).allowed || !mayUseEndpoint(principal, endpoint).allowed) return false;
  const outcome = await service.admissions.admit(verification, demand, async () => ({ refused: 'changed' }));
  if (outcome.outcome !== 'granted') return false;
  const { state } = await service.settlements.settle(outcome.hold, consumption);
  return state === 'settled';
}

async function verifications(): Promise<Contender['run']> {
  const keys = openService();
  const { secret } = await keys.create({ name: 'Bench', models: [model] });
  const { verify } = internalsOf('bench', keys);
  return async (operations) => {
    let valid = 0;
    for (let operation = 0; operation < operations; operation += 1) if ((await verify(secret)).valid) valid += 1;
    return valid;
  };
}

/** Answers how many were refused: here these are the work, and one that is admitted fails the bench. */
async function denials(limit: { rpmLimit: number } | { maxParallelRequests: number }): Promise<Contender['run']> {
  // The time stands still: a window that runs out would let one through.
  const atMs = Date.now();
  const keys = openService(() => atMs);
  const { secret } = await keys.create({ name: 'Bench', models: [model], ...sixLimits, ...limit });
  const service = internalsOf('bench', keys);
  const verification = await service.verify(secret);
  if (!verification.valid) throw new Error('The key of the bench is not valid');
  const rejudge = async () => ({ refused: 'changed' });
  await service.admissions.admit(verification, demand, rejudge);
  return async (operations) => {
    let refused = 0;
    for (let operation = 0; operation < operations; operation += 1) {
      const { outcome } = await service.admissions.admit(verification, demand, rejudge);
      if (outcome === 'limited') refused += 1;
    }
    return refused;
  };
}

async function singleTimes(run: Contender['run']): Promise<readonly number[]> {
  await run(10_000);
  const times: number[] = [];
  for (let sample = 0; sample < 20_000; sample += 1) {
    const begunAtNs = process.hrtime.bigint();
    if ((await run(1)) !== 1) throw new Error('A call was refused');
    times.push(Number(process.hrtime.bigint() - begunAtNs));
  }
  return times;
}

function openService(clock?: () => number): VirtualKeys {
  return createVirtualKeys({ store: memoryStore(), ...(clock && { clock }) });
}
