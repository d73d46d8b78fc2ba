/** A call that ends in the millisecond in which a pull begins is left to the next one. */
export async function nextMillisecond(): Promise<void> {
  const nowMs = Date.now();
  while (Date.now() === nowMs) await new Promise(setImmediate);
}
