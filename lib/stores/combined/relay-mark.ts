/**
 * How far a ledger's usage is archived. What was read is read once more a while later, before it is forgotten: a line that
 * was written first may become visible last.
 */
export interface RelayMark {
  /** The cursor at which reading goes on. */
  readonly at: string | null;
  /** All up to here was read twice. */
  readonly done: string | null;
  /** Where the first reading had come to at `checkpointMs`. */
  readonly checkpoint: string | null;
  readonly checkpointMs: number;
  /** It is being read for the second time, from `done` on. */
  readonly isSecond: boolean;
}

const start: RelayMark = { at: null, done: null, checkpoint: null, checkpointMs: 0, isSecond: false };

export function writeMark({ at, done, checkpoint, checkpointMs, isSecond }: RelayMark): string {
  return JSON.stringify({ at, done, checkpoint, checkpointMs, isSecond });
}

/** One that cannot be read is begun again: lines that are archived already are not kept twice. */
export function readMark(text: string | null): RelayMark {
  if (text === null) return start;
  try {
    const mark: unknown = JSON.parse(text);
    return isMark(mark) ? mark : start;
  } catch {
    return start;
  }
}

function isMark(value: unknown): value is RelayMark {
  if (typeof value !== 'object' || value === null) return false;
  const { at, done, checkpoint, checkpointMs, isSecond }: { readonly [field in keyof RelayMark]?: unknown } = value;
  const areCursors = [at, done, checkpoint].every((cursor) => cursor === null || typeof cursor === 'string');
  return areCursors && Number.isFinite(checkpointMs) && typeof isSecond === 'boolean';
}

/** What follows when there is nothing more to read; the same mark: nothing does, until there is more. */
export function atEnd(mark: RelayMark, nowMs: number, overlapMs: number): RelayMark {
  if (mark.isSecond) {
    return { at: mark.at, done: mark.checkpoint, checkpoint: mark.at, checkpointMs: nowMs, isSecond: false };
  }
  if (mark.at === mark.done) return mark;
  const ageMs = nowMs - mark.checkpointMs;
  return ageMs >= 0 && ageMs < overlapMs ? mark : { ...mark, at: mark.done, isSecond: true };
}
