import type { UsageReader } from './format.ts';
import type { Reading } from './reading.ts';

/** Calls that providers do not charge: counting tokens, moderation. Their answers report no tokens used. */
export function free(reading: Reading): UsageReader {
  function readBody(): void {
    reading.told({ inputTokens: 0, outputTokens: 0 });
  }
  return { readBody, readEvent: readBody };
}
