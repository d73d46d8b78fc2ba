import { type Act, inParallel } from './admissions.ts';
import { type Contender, race, raceSingly, type Times } from './race.ts';

/** What callers do, by name. */
export type Acts = Readonly<Record<string, Act>>;

export interface LoadOptions {
  readonly operations: number;
  /** Those that are so many times slower than the others. */
  readonly handicaps?: Readonly<Record<string, number>>;
}

/** Times of so many callers at once; those of one are the p50, those of many the reciprocal of what gets through. */
export async function timesAt(
  callers: number,
  acts: Acts,
  { operations, handicaps = {} }: LoadOptions,
): Promise<Times> {
  const named = Object.entries(acts).map(
    ([name, act]) => [`${name}, c=${callers}`, act, handicaps[name] ?? 1] as const,
  );
  if (callers === 1) return raceSingly(Object.fromEntries(named), operations);
  const contenders = named.map(([name, act, handicap]): Contender => {
    return { name, handicap, run: (share) => inParallel(callers, share, act) };
  });
  return race(contenders, { operations, rounds: 5 });
}
