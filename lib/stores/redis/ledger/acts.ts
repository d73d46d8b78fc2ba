import type { StoreNotice } from '../../store.ts';
import { luaFiles } from '../lua.ts';
import { defineScript, type RunScript, type Script } from '../script.ts';
import type { LedgerNames } from './names.ts';

/** What the acts of the ledger work with. */
export interface LedgerContext {
  readonly run: RunScript;
  readonly names: LedgerNames;
  /** The time to give to scripts, in tests; 0: they read the clock of Redis. */
  readonly givenInstant: () => number;
  readonly notify: (notice: StoreNotice) => void;
  /** How many lines of usage are kept, and for how many milliseconds sums are, as scripts that write them are told. */
  readonly usageBounds: readonly [maxLines: string, retentionMs: string];
}

/** A script of these files; it answers in the shape that the header of the last one tells. */
export function ledgerScript<R>(...files: readonly (keyof typeof luaFiles)[]): Script<R> {
  return defineScript(
    files.map((file) => luaFiles[file]),
    (reply) => reply as R,
  );
}

/**
 * Runs a script of the ledger. Its numbers travel as one list in JSON, of which Lua reads them at a third of the cost of
 * objects; its texts as they are.
 */
export function runAct<R>(
  { run, givenInstant }: Pick<LedgerContext, 'run' | 'givenInstant'>,
  script: Script<R>,
  keys: readonly string[],
  numbers: readonly number[],
  ...texts: readonly string[]
): Promise<R> {
  return run(script, keys, [`[${[givenInstant(), ...numbers].join()}]`, ...texts]);
}

/** Fractions keep what comes in one millisecond of a given clock in its order, as the microseconds of Redis do. */
export function givenInstants(givenMs: () => number | undefined): () => number {
  let latestMs = 0;
  let earlier = 0;
  return () => {
    const nowMs = givenMs() ?? 0;
    earlier = nowMs === latestMs ? Math.min(earlier + 1, 4095) : 0;
    latestMs = nowMs;
    // As many as a number of this size can tell apart.
    return nowMs === 0 ? 0 : nowMs + earlier / 4096;
  };
}
