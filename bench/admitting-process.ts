import { type Act, inParallel } from './admissions.ts';
import { quantile } from './race.ts';
import { openAct, type Side } from './sides.ts';

/** Admissions that a process is told to ask for, so many at a time. */
export interface AskedAdmissions {
  readonly callers: number;
  readonly operations: number;
}

export interface DoneAdmissions {
  readonly admitted: number;
  readonly p99Ns: number;
}

/** One of several processes that share a server and keys; all are named by its arguments. */
const [side, url = '', keyIds = ''] = process.argv.slice(2);
const act = await openAct(side as Side, url, keyIds.split(','));

process.on('message', async ({ callers, operations }: AskedAdmissions) => {
  const times: number[] = [];
  const timed: Act = async (index) => {
    const begunAtMs = performance.now();
    const isAdmitted = await act(index);
    times.push((performance.now() - begunAtMs) * 1e6);
    return isAdmitted;
  };
  const admitted = await inParallel(callers, operations, timed);
  process.send?.({ admitted, p99Ns: quantile(times, 0.99) } satisfies DoneAdmissions);
});
process.send?.('ready');
