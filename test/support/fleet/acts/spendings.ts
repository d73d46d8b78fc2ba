/** What calls of one key cost together. */
export interface Spending {
  readonly keyId: string;
  readonly calls: number;
  readonly costNanoUsd: number;
}

/** Adds up by key. */
export function spendings(parts: readonly Spending[] = []) {
  const sums = new Map<string, Spending>();
  let calls = 0;

  function add(part: Spending): void {
    const sum = sums.get(part.keyId) ?? { keyId: part.keyId, calls: 0, costNanoUsd: 0 };
    sums.set(part.keyId, {
      ...sum,
      calls: sum.calls + part.calls,
      costNanoUsd: sum.costNanoUsd + part.costNanoUsd,
    });
    calls += part.calls;
  }

  for (const part of parts) add(part);
  return {
    add,
    calls: () => calls,
    /** In the order of the keys' ids. */
    all: (): readonly Spending[] => [...sums.values()].toSorted((a, b) => (a.keyId < b.keyId ? -1 : 1)),
  };
}
