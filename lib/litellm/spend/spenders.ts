import type { PartedSecret, PulledSpend, TwinEntry, TwinRecord } from '../mirror/twin-rows.ts';
import type { OurKey } from '../reconcile/walk.ts';

/** A secret with which something was spent there that the usage record may not have. */
export interface Spender {
  readonly keyId: string;
  readonly token: string;
  /** Every call that had ended before is in the record. */
  readonly fromMs: number;
  /** What is known of the twin once every call is in the record that had ended before this moment. */
  counted(twin: TwinRecord, untilMs: number): TwinRecord;
}

/** Calls are found by when they began: one that takes longer than this may be missed. */
export const longestCallMs = 3_600_000;

/** The secrets of a key whose calls there have to be read. */
export function spendersOf(
  { record, twin }: OurKey,
  spent: ReadonlyMap<string, number>,
  nowMs: number,
): readonly Spender[] {
  const { id: keyId, createdAtMs } = record;
  const good = (twin?.entries ?? []).flatMap((entry) => {
    const seenUsd = spent.get(entry.token);
    if (seenUsd === undefined || isAllCounted(entry.pulled, seenUsd)) return [];
    return [spenderOfEntry(entry, { seenUsd, nowMs })];
  });
  const spenders = [...good, ...(twin?.parted ?? []).map(spenderOfParted)];
  return spenders.map(({ pulled, ...spender }) => ({
    ...spender,
    keyId,
    fromMs: pulled?.countedUntilMs ?? createdAtMs,
  }));
}

type FoundSpender = Omit<Spender, 'keyId' | 'fromMs'> & { readonly pulled: PulledSpend | null };

/** Nothing was spent since, and what had been spent had ended before the calls were last counted. */
function isAllCounted(pulled: PulledSpend | null, seenUsd: number): boolean {
  if (pulled === null) return seenUsd === 0;
  if (pulled.openingUsd !== null) return false;
  return pulled.seenUsd === seenUsd && pulled.countedUntilMs >= pulled.seenSinceMs;
}

function spenderOfEntry(
  { token, pulled }: TwinEntry,
  { seenUsd, nowMs }: { readonly seenUsd: number; readonly nowMs: number },
): FoundSpender {
  const seenSinceMs = pulled?.seenUsd === seenUsd ? pulled.seenSinceMs : nowMs;
  return {
    token,
    pulled,
    counted: (twin, untilMs) => ({
      ...twin,
      entries: twin.entries.map((entry) => {
        // Another process may have pulled further meanwhile.
        if (entry.token !== token || (entry.pulled?.countedUntilMs ?? 0) >= untilMs) return entry;
        return { ...entry, pulled: { openingUsd: null, seenUsd, seenSinceMs, countedUntilMs: untilMs } };
      }),
    }),
  };
}

/** Calls that were under way when the twin was removed end later. */
function spenderOfParted({ token, pulled, partedAtMs }: PartedSecret): FoundSpender {
  const seen = { openingUsd: null, seenUsd: pulled?.seenUsd ?? 0, seenSinceMs: partedAtMs };
  return {
    token,
    pulled,
    counted: (twin, untilMs) => ({
      ...twin,
      parted: twin.parted.flatMap((parted): readonly PartedSecret[] => {
        if (parted.token !== token || (parted.pulled?.countedUntilMs ?? 0) >= untilMs) return [parted];
        if (untilMs >= partedAtMs + longestCallMs) return [];
        return [{ ...parted, pulled: { ...seen, countedUntilMs: untilMs } }];
      }),
    }),
  };
}
