import type { Act } from './admissions.ts';

/** One of those that do the same work side by side. */
export interface Contender {
  readonly name: string;
  /** Does so many operations, and answers how many were admitted: a bench that counts refusals as work lies. */
  readonly run: (operations: number) => number | Promise<number>;
  /** How many times slower it is than the others: it is given so many times fewer operations. */
  readonly handicap?: number;
}

export interface Race {
  readonly operations: number;
  readonly rounds: number;
  /** What is read before and after: time, or in its place such as the CPU time of a server. */
  readonly clockNs?: () => number | Promise<number>;
}

/** A busy machine has fewer rounds. */
const longestRaceMs = 20_000;
const fewestRounds = 2;
const operationsOfTurn = 20;

/** What a contender took for one operation, in nanoseconds: the median of what was measured. */
export type Times = ReadonlyMap<string, number>;

/**
 * Lets contenders run in turn, round after round, so that whatever else the machine does falls on all of them.
 *
 * @throws Error where an operation was refused or failed
 */
export async function race(
  contenders: readonly Contender[],
  { operations, rounds, clockNs = nowNs }: Race,
): Promise<Times> {
  const times = new Map(contenders.map(({ name }) => [name, [] as number[]]));
  const endMs = performance.now() + longestRaceMs;
  for (let round = -1; round < rounds && (round < fewestRounds || performance.now() < endMs); round += 1) {
    for (const contender of contenders) {
      const share = Math.ceil(operations / (contender.handicap ?? 1));
      const begunAtNs = await clockNs();
      const admitted = await contender.run(share);
      const elapsedNs = (await clockNs()) - begunAtNs;
      if (admitted !== share) throw new Error(`${contender.name}: ${admitted} of ${share} were admitted`);
      // The first round warms up.
      if (round >= 0) times.get(contender.name)?.push(elapsedNs / share);
    }
  }
  return new Map([...times].map(([name, each]) => [name, median(each)]));
}

/** Times of one caller, as those who do the same work take turns: the median is the p50. */
export async function raceSingly(acts: Readonly<Record<string, Act>>, operations: number): Promise<Times> {
  const warmUp = operationsOfTurn * 2;
  const times = new Map(Object.keys(acts).map((name) => [name, [] as number[]]));
  for (let from = 0; from < warmUp + operations; from += operationsOfTurn) {
    for (const [name, act] of Object.entries(acts)) {
      for (let operation = from; operation < from + operationsOfTurn; operation += 1) {
        const begunAtNs = nowNs();
        if (!(await act(operation))) throw new Error(`${name}: one of ${operations} was not admitted`);
        if (operation >= warmUp) times.get(name)?.push(nowNs() - begunAtNs);
      }
    }
  }
  return new Map([...times].map(([name, each]) => [name, median(each)]));
}

function nowNs(): number {
  return performance.now() * 1e6;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
