import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createVirtualKeys } from '../lib/keys/create-virtual-keys.ts';
import { internalsOf } from '../lib/keys/internals.ts';
import { memoryStore } from '../lib/stores/memory/memory-store.ts';
import { admissions, inParallel } from './admissions.ts';
import type { Bench, Figure, Ratio } from './report.ts';
import { model, scattered, sixLimits } from './sample-keys.ts';
import { callOnce } from './service.ts';

const keyCount = 100_000;
/** Their creation takes most of the time of this bench. */
const createdKeyCount = 10_000;
const limitCount = 6;

/** What keys and their counters take, and that traffic alone takes no more with every hour. */
export const memoryBench: Bench = {
  name: 'memory',
  title: `bytes of keys of ${limitCount} limits, and of hours of traffic`,
  async run() {
    const hours = await hourlyBytes();
    return {
      figures: [...(await bytesOfCounters()), ...(await bytesOfKeys()), ...hours.figures],
      ratios: hours.ratios,
    };
  },
};

/** The least of what comes with traffic, so that counters are what is left. */
function storeOfCounters() {
  return memoryStore({ maxUsageEvents: 10, maxUsageSums: 10, maxEndedHolds: 10 });
}

async function bytesOfCounters(): Promise<Figure[]> {
  const { pair } = await admissions(storeOfCounters(), keyCount);
  const before = usedBytes();
  await inParallel(1, keyCount, pair);
  const ofKey = (usedBytes() - before) / keyCount;
  // Until here the store must not be collected itself.
  if (!(await pair(0))) throw new Error('A call was refused');
  return [
    {
      name: `counters of an active key, of ${keyCount.toLocaleString('en')}, in the store alone`,
      value: ofKey,
      unit: 'bytes',
    },
    { name: 'of that for each active limit', value: ofKey / limitCount, unit: 'bytes' },
  ];
}

async function bytesOfKeys(): Promise<Figure[]> {
  const keys = createVirtualKeys({ store: storeOfCounters() });
  const before = usedBytes();
  const secrets: string[] = [];
  for (let index = 0; index < createdKeyCount; index += 1) {
    secrets.push((await keys.create({ name: 'Bench', models: [model], ...sixLimits })).secret);
  }
  const idle = usedBytes();
  const service = internalsOf('bench', keys);
  for (const secret of secrets) await callOnce(service, secret);
  const active = usedBytes();
  await keys.close();
  return [
    { name: 'a key that was never used, with its secret', value: (idle - before) / createdKeyCount, unit: 'bytes' },
    {
      name: 'an active key more, with its record and its plan',
      value: (active - idle) / createdKeyCount,
      unit: 'bytes',
    },
  ];
}

/** Traffic of three hours, by a clock that is set: the first fills what is kept of the latest hour. */
async function hourlyBytes(): Promise<{ figures: Figure[]; ratios: Ratio[] }> {
  const callers = 500;
  const callsASecond = 2;
  let nowMs = Date.UTC(2026, 0, 15, 12);
  const store = memoryStore({ maxUsageEvents: 5000 });
  const keys = createVirtualKeys({ store, clock: () => nowMs });
  const secrets: string[] = [];
  for (let index = 0; index < callers; index += 1) {
    secrets.push((await keys.create({ name: 'Bench', models: [model], ...sixLimits })).secret);
  }
  const service = internalsOf('bench', keys);
  const order = scattered(callers);
  const bytes: number[] = [];
  for (let call = 1; call <= 3 * 3600 * callsASecond; call += 1) {
    nowMs += call % callsASecond === 0 ? 1000 : 0;
    await callOnce(service, secrets[order(call)] ?? '');
    if (call % (3600 * callsASecond) === 0) bytes.push(usedBytes());
  }
  await keys.close();
  const [, second = Number.NaN, third = Number.NaN] = bytes;
  return {
    figures: bytes.map((value, hour) => ({ name: `heap after hour ${hour + 1} of traffic`, value, unit: 'bytes' })),
    ratios: [{ of: 'heap after hour 3', to: 'hour 2', ratio: third / second, goal: { atMost: 1.1 } }],
  };
}

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

function usedBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
