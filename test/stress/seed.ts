import type { Context } from 'mocha';

/** The seed of a random test: a fixed one, or that of `STRESS_SEED`. It is told in the title, and so with every failure. */
export function seedOf(context: Context, fixed: number): number {
  const seed = Number(process.env.STRESS_SEED ?? fixed);
  const { test } = context;
  if (test !== undefined) test.title += ` (STRESS_SEED=${seed})`;
  return seed;
}
