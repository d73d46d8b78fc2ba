import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createVirtualKeys } from '../lib/keys/create-virtual-keys.ts';
import { internalsOf } from '../lib/keys/internals.ts';
import { memoryStore } from '../lib/stores/memory/memory-store.ts';
import type { Bench, Figure, Ratio } from './report.ts';
import { model, scattered, sixLimits } from './sample-keys.ts';
import { callOnce } from './service.ts';

const keyCount = 100_000;
const limitCount = 6;

/** What keys and their counters take, and that traffic alone takes no more with every hour. */
export const memoryBench: Bench = {
  name: 'memory',
  title: `bytes of ${keyCount.toLocaleString('en')} keys of ${limitCount} limits, and of hours of traffic`,
  async run() {
    const hours = await hourlyBytes();
    return { figures: [...(await bytesOfKeys()), ...hours.figures], ratios: hours.ratios };
  },
};

async function bytesOfKeys(): Promise<Figure[]> {
  // The least of what comes with traffic, so that counters are what is left.
  const store = memoryStore({ maxUsageEvents: 10, maxUsageSums: 10, maxEndedHolds: 10 });
  const keys = createVirtualKeys({ store });
  const before = usedBytes();
  const secrets: string[] = [];
  for (let index = 0; index < keyCount; index += 1) {
    secrets.push((await keys.create({ name: 'Bench', models: [model], ...sixLimits })).secret);
  }
  const idle = usedBytes();
  const service = internalsOf('bench', keys);
  for (const secret of secrets) await callOnce(service, secret);
  const active = usedBytes();
  await keys.close();
  return [
    { name: 'a key that was never used, with its secret', value: (idle - before) / keyCount, unit: 'bytes' },
    { name: 'a key in use more, with its record in the cache', value: (active - idle) / keyCount, unit: 'bytes' },
    { name: 'of that for each limit', value: (active - idle) / keyCount / limitCount, unit: 'bytes' },
  ];
}

/** Traffic of three hours, by a clock that is set. */
async function hourlyBytes(): Promise<{ figures: Figure[]; ratios: Ratio[] }> {
  const callers = 500;
  const callsASecond = 5;
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
