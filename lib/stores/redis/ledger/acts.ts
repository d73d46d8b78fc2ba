import type { StoreNotice } from '../../store.ts';
import { luaFiles } from '../lua.ts';
import { defineScript, type RunScript, type Script } from '../script.ts';
import type { LedgerNames } from './names.ts';

/** What the acts of the ledger work with. */
export interface LedgerContext {
  readonly run: RunScript;
  readonly names: LedgerNames;
  /** The time to give to scripts, in tests; `undefined`: they read the clock of Redis. */
  readonly givenMs: () => number | undefined;
  readonly notify: (notice: StoreNotice) => void;
  readonly usage: { readonly maxEvents: number; readonly retentionMs: number };
}

/** A script of these files; it answers in the shape that the header of the last one tells. */
export function ledgerScript<R>(...files: readonly (keyof typeof luaFiles)[]): Script<R> {
  return defineScript(
    files.map((file) => luaFiles[file]),
    (reply) => reply as R,
  );
}

/** Runs a script of the ledger: its act travels as one JSON text, before others that are made once for many acts. */
export function runAct<R>(
  { run, givenMs }: Pick<LedgerContext, 'run' | 'givenMs'>,
  script: Script<R>,
  keys: readonly string[],
  act: object,
  ...texts: readonly string[]
): Promise<R> {
  return run(script, keys, [JSON.stringify({ nowMs: givenMs(), ...act }), ...texts]);
}
