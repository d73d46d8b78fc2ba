import type { StoreNotice } from '../../store.ts';
import { luaFiles } from '../lua.ts';
import { defineScript, type RunScript, type Script } from '../script.ts';
import type { LedgerNames } from './names.ts';

/** What the acts of the ledger work with. */
export interface LedgerContext {
  readonly run: RunScript;
  readonly names: LedgerNames;
  /** The time to give to the script of so many calls, in tests; 0: it reads the clock of Redis. */
  readonly givenInstant: (calls?: number) => number;
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
  return run(script, keys, [numbersText(givenInstant(), numbers), ...texts]);
}

export function numbersText(instant: number, numbers: readonly number[]): string {
  return `[${[instant, ...numbers].join()}]`;
}

/** Fractions keep what comes in one millisecond of a given clock in its order, as the microseconds of Redis do. */
export function givenInstants(givenMs: () => number | undefined): LedgerContext['givenInstant'] {
  let latestMs = 0;
  let earlier = 0;
  return (calls = 1) => {
    const nowMs = givenMs() ?? 0;
    // As many as a number of this size can tell apart.
    earlier = Math.min(nowMs === latestMs ? earlier + calls : calls, 4095);
    latestMs = nowMs;
    return nowMs === 0 ? 0 : nowMs + earlier / 4096;
  };
}
