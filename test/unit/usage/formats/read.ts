import assert from 'node:assert/strict';
import { type MeterFormat, usageReader } from '../../../../lib/usage/formats/format.ts';
import type { JsonObject } from '../../../../lib/usage/formats/json.ts';
import { Reading } from '../../../../lib/usage/formats/reading.ts';

export function readBody(format: MeterFormat, body: JsonObject): Reading {
  const reading = new Reading();
  usageReader(format, reading)?.readBody(body);
  return reading;
}

export function readEvents(format: MeterFormat, events: readonly JsonObject[], names: readonly string[] = []): Reading {
  const reading = new Reading();
  const reader = usageReader(format, reading);
  events.forEach((event, index) => {
    reader?.readEvent(event, names[index] ?? '');
  });
  return reading;
}

/** Compares all four counts, in the order input, output, read from cache, written to cache. */
export function assertUsage(reading: Reading, ...expected: [number, number, number?, number?]): void {
  const [inputTokens, outputTokens, cacheReadTokens = 0, cacheWriteTokens = 0] = expected;
  assert.deepEqual(reading.usage, { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens });
  assert.equal(reading.problem, null);
}
