/** Repeats acts on one timer, however many there are. */
export interface TimerWheel {
  /** Repeats an act with the period of the wheel, early by up to one slot the first time, until the answer is called. */
  repeat(act: () => void): () => void;
}

const slotCount = 8;

/** The timer runs while there are acts, and keeps no process alive. Acts that began apart are not run together. */
export function createTimerWheel(periodMs: number): TimerWheel {
  const slots = Array.from({ length: slotCount }, () => new Set<() => void>());
  let current = 0;
  let size = 0;
  let isTurning = false;

  function wait(): void {
    isTurning = true;
    setTimeout(turn, periodMs / slotCount).unref();
  }

  function turn(): void {
    isTurning = size > 0;
    if (!isTurning) return;
    wait();
    current = (current + 1) % slotCount;
    for (const act of slots[current] ?? []) act();
  }

  return {
    repeat(act) {
      const slot = slots[current];
      slot?.add(act);
      size += 1;
      if (!isTurning) wait();
      return () => {
        if (slot?.delete(act)) size -= 1;
      };
    },
  };
}
