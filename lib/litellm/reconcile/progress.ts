/** How far something long has come. */
export interface Progress {
  readonly done: number;
  /** As far as it is known yet; it may grow. */
  readonly total: number;
}

export type OnProgress = (progress: Progress) => void;

/** @throws TypeError naming the method */
export function checkOnProgress(method: string, onProgress: unknown): void {
  if (onProgress === undefined || typeof onProgress === 'function') return;
  throw new TypeError(`${method}: onProgress must be a function of { done, total }`);
}

/** Adds up how far several parts of one work have come. */
export function createProgress(onProgress: OnProgress | undefined) {
  const parts = new Map<string, Progress>();

  function tell(): void {
    const values = [...parts.values()];
    const total = values.reduce((sum, part) => sum + part.total, 0);
    const done = values.reduce((sum, part) => sum + Math.min(part.done, part.total), 0);
    onProgress?.({ done, total });
  }

  return {
    /** A part has as much to do as this, as far as is known. */
    expect(part: string, total: number): void {
      parts.set(part, { done: parts.get(part)?.done ?? 0, total });
    },
    advance(part: string, count: number): void {
      const { done, total } = parts.get(part) ?? { done: 0, total: count };
      parts.set(part, { done: done + count, total });
      tell();
    },
    /** What was expected of it and did not come is not there any more. */
    finish(part: string): void {
      const { total } = parts.get(part) ?? { total: 0 };
      parts.set(part, { done: total, total });
      tell();
    },
  };
}

export type ProgressMeter = ReturnType<typeof createProgress>;
