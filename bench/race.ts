/** One of those that do the same work side by side. */
export interface Contender {
  readonly name: string;
  /** Does so many operations, and answers how many were admitted: a bench that counts refusals as work lies. */
  readonly run: (operations: number) => number | Promise<number>;
}

export interface Race {
  readonly operations: number;
  readonly rounds: number;
}

/** What a contender took for one operation, in nanoseconds: the median of all rounds. */
export type Times = ReadonlyMap<string, number>;

/**
 * Lets contenders run in turn, round after round, so that whatever else the machine does falls on all of them.
 *
 * @throws Error where an operation was refused or failed
 */
export async function race(contenders: readonly Contender[], { operations, rounds }: Race): Promise<Times> {
  const times = new Map(contenders.map(({ name }) => [name, [] as number[]]));
  for (let round = -1; round < rounds; round += 1) {
    for (const contender of contenders) {
      const begunAtNs = process.hrtime.bigint();
      const admitted = await contender.run(operations);
      const elapsedNs = Number(process.hrtime.bigint() - begunAtNs);
      if (admitted !== operations) throw new Error(`${contender.name}: ${admitted} of ${operations} were admitted`);
      // The first round warms up.
      if (round >= 0) times.get(contender.name)?.push(elapsedNs / operations);
    }
  }
  return new Map([...times].map(([name, each]) => [name, median(each)]));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
