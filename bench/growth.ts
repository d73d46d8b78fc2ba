import type { Store } from '../lib/stores/store.ts';
import { admissions } from './admissions.ts';
import { type AdmittingProcess, startAdmitting } from './processes.ts';
import { type Contender, median, race, type Times } from './race.ts';
import { figuresOf, type Ratio, type Report, speed } from './report.ts';
import type { Side } from './sides.ts';

const processCount = 4;

export interface GrowthOptions {
  readonly url: string;
  readonly store: Store;
  readonly side: Side;
  readonly peer: Side;
  /** Of each process. */
  readonly callers: number;
  readonly operations: number;
  /** Of four processes with one key: how much faster than four of the peer, and with what p99. */
  readonly goals?: { readonly speed: number; readonly p99Ms: number };
}

/** What one process gets through, what four get through together, and the p99 of each. */
export async function growth({ url, store, side, peer, goals, ...load }: GrowthOptions): Promise<Report> {
  const started: AdmittingProcess[] = [];
  const contenders: Contender[] = [];
  const p99s = new Map<string, number[]>();

  async function enter(name: string, of: Side, keyIds: readonly string[]): Promise<string> {
    const four = await Promise.all(Array.from({ length: processCount }, () => startAdmitting(of, url, keyIds)));
    started.push(...four);
    for (const sharing of [four.slice(0, 1), four]) {
      const fullName = inProcesses(name, sharing.length);
      const measured: number[] = [];
      p99s.set(`p99 of ${fullName}`, measured);
      contenders.push({
        name: fullName,
        async run(operations) {
          const asked = { callers: load.callers, operations: operations / sharing.length };
          const done = await Promise.all(sharing.map((each) => each.admit(asked)));
          measured.push(Math.max(...done.map(({ p99Ns }) => p99Ns)));
          return done.reduce((sum, { admitted }) => sum + admitted, 0);
        },
      });
    }
    return name;
  }

  try {
    const hot = await admissions(store, 1);
    const many = await admissions(store, 1000);
    const hotAdmit = await enter('admit(6), one key', side, hot.keyIds);
    const manyAdmit = await enter('admit(6), 1,000 keys', side, many.keyIds);
    const hotPeer = await enter('RLF one limit, one key', peer, hot.keyIds);
    const manyPeer = await enter('RLF one limit, 1,000 keys', peer, many.keyIds);
    const times = await race(contenders, { operations: load.operations, rounds: 5 });
    const from1To4 = (name: string): Ratio => speed(times, inProcesses(name, processCount), inProcesses(name, 1));
    const ofFour = (name: string, to: string, atLeast?: number): Ratio =>
      speed(times, inProcesses(name, processCount), inProcesses(to, processCount), atLeast);
    const latencies: Times = new Map([...p99s].map(([name, each]) => [name, median(each)]));
    const p99Name = `p99 of ${inProcesses(hotAdmit, processCount)}`;
    const p99Goal = goals && {
      of: p99Name,
      to: `${goals.p99Ms} ms`,
      ratio: (latencies.get(p99Name) ?? Number.NaN) / (goals.p99Ms * 1e6),
      goal: { atMost: 1 },
    };
    return {
      figures: [...figuresOf(times), ...figuresOf(latencies, 'us')],
      ratios: [
        ...[hotAdmit, hotPeer, manyAdmit, manyPeer].map(from1To4),
        ofFour(hotAdmit, hotPeer, goals?.speed),
        ofFour(manyAdmit, manyPeer),
        ...(p99Goal ? [p99Goal] : []),
      ],
    };
  } finally {
    for (const each of started) each.stop();
  }
}

function inProcesses(name: string, count: number): string {
  return `${name}, ${count} process${count === 1 ? '' : 'es'}`;
}
