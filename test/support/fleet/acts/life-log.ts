import {
  FencePendingError,
  KeyRevokedError,
  type ShownUsageEvent,
  StoreUnavailableError,
  VersionConflictError,
} from '../../../../lib/index.ts';
import { nanoUsd } from '../../../../lib/usage/money.ts';
import { monotonicMs } from '../monotonic.ts';
import { type Spending, spendings } from './spendings.ts';

/** A change of a key that was made, and when that was answered. */
export interface KeyChange {
  readonly keyId: string;
  /** The version that it made. */
  readonly version: number;
  readonly kind: 'update' | 'rotate' | 'revoke';
  /** Of a rotation: how long the secret before it stays good. */
  readonly graceMs: number;
  readonly answeredAtMs: number;
}

/** A secret is named by the version of its key that it came with. */
export interface KeySecret {
  readonly keyId: string;
  readonly version: number;
  readonly secret: string;
}

/** When the latest call began of those that a secret, or the id of a key, was good for. */
export interface LatestUse {
  readonly keyId: string;
  /** Of the secret; `null`: it was called by id. */
  readonly version: number | null;
  readonly beganAtMs: number;
}

/** What a process did at random, and what it was answered. */
export interface LifeReport {
  readonly changes: readonly KeyChange[];
  /** Keys with a change that is stored, and was in force only later: nobody was told its version. */
  readonly pending: readonly string[];
  /** Those that were made here, and those that the keys began with. */
  readonly secrets: readonly KeySecret[];
  readonly admitted: readonly LatestUse[];
  readonly verified: readonly LatestUse[];
  /** As the callers asked for it. */
  readonly settled: readonly Spending[];
  /** As listeners were told. */
  readonly charged: readonly Spending[];
  /** How often each act was tried. */
  readonly tries: { readonly [act: string]: number };
  /** Calls that met two changes of their key in a row, and were refused with 503. */
  readonly unsteady: number;
  /** What nobody expects. */
  readonly failures: readonly string[];
}

/** Keeps what one process of a random life was answered. */
export function createLifeLog(keys: readonly { readonly keyId: string; readonly secret: string }[]) {
  const secrets = new Map(keys.map(({ keyId, secret }) => [keyId, [{ keyId, version: 1, secret }]]));
  const changes: KeyChange[] = [];
  const pending: string[] = [];
  const admitted = latestUses();
  const verified = latestUses();
  const settled = spendings();
  const tries: { [act: string]: number } = {};
  const failures: string[] = [];
  let unsteady = 0;

  async function changed<C extends { readonly version: number }>(
    change: Pick<KeyChange, 'keyId' | 'kind' | 'graceMs'>,
    make: () => Promise<C>,
  ): Promise<C | undefined> {
    try {
      const made = await make();
      changes.push({ ...change, version: made.version, answeredAtMs: monotonicMs() });
      return made;
    } catch (error) {
      if (!(error instanceof FencePendingError)) throw error;
      pending.push(change.keyId);
      return undefined;
    }
  }

  function fail(act: string, error: unknown): void {
    // Somebody else was quicker, as may be.
    if (error instanceof KeyRevokedError || error instanceof VersionConflictError) return;
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof StoreUnavailableError && /changed again/.test(reason)) unsteady += 1;
    else failures.push(`${act}: ${reason}`);
  }

  return {
    secretsOf: (keyId: string): readonly KeySecret[] => secrets.get(keyId) ?? [],
    secretAdmitted: (keyId: string, version: number, beganAtMs: number) => admitted.note({ keyId, version, beganAtMs }),
    idAdmitted: (keyId: string, beganAtMs: number) => admitted.note({ keyId, version: null, beganAtMs }),
    secretVerified: (keyId: string, version: number, beganAtMs: number) => verified.note({ keyId, version, beganAtMs }),
    settled: (keyId: string, costNanoUsd: number) => settled.add({ keyId, calls: 1, costNanoUsd }),
    settledCalls: settled.calls,
    wasUnsteady() {
      unsteady += 1;
    },

    updated: (keyId: string, make: () => Promise<{ readonly version: number }>) =>
      changed({ keyId, kind: 'update', graceMs: 0 }, make),
    revoked: (keyId: string, make: () => Promise<{ readonly version: number }>) =>
      changed({ keyId, kind: 'revoke', graceMs: 0 }, make),
    async rotated(
      keyId: string,
      graceMs: number,
      make: () => Promise<{ readonly key: { readonly version: number }; readonly secret: string }>,
    ) {
      const made = await changed({ keyId, kind: 'rotate', graceMs }, async () => {
        const { key, secret } = await make();
        return { version: key.version, secret };
      });
      if (made !== undefined) secrets.get(keyId)?.push({ keyId, ...made });
    },

    /** Makes one try, and answers whether it came to its end. */
    async attempt(act: string, run: () => Promise<unknown>): Promise<boolean> {
      tries[act] = (tries[act] ?? 0) + 1;
      try {
        await run();
        return true;
      } catch (error) {
        fail(act, error);
        return false;
      }
    },

    report(events: readonly ShownUsageEvent[]): LifeReport {
      const charged = spendings();
      for (const { keyId, costUsd } of events) charged.add({ keyId, calls: 1, costNanoUsd: nanoUsd(costUsd) });
      return {
        changes,
        pending,
        secrets: [...secrets.values()].flat(),
        admitted: admitted.all(),
        verified: verified.all(),
        settled: settled.all(),
        charged: charged.all(),
        tries,
        unsteady,
        failures: failures.slice(0, 20),
      };
    },
  };
}

function latestUses() {
  const latest = new Map<string, LatestUse>();
  return {
    note(use: LatestUse): void {
      const name = `${use.keyId} ${use.version}`;
      if (use.beganAtMs > (latest.get(name)?.beganAtMs ?? 0)) latest.set(name, use);
    },
    all: () => [...latest.values()],
  };
}
