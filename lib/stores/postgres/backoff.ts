const firstMs = 250;
const longestMs = 30_000;

/** How long to wait after so many failures in a row: doubled each time, less a random part of its half. */
export function backoffMs(failures: number): number {
  const fullMs = Math.min(firstMs * 2 ** Math.max(failures - 1, 0), longestMs);
  return fullMs * (1 - Math.random() / 2);
}
