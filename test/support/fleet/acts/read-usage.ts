import type { UsageEvent } from '../../../../lib/index.ts';
import type { Station } from '../station.ts';
import { type Spending, spendings } from './spendings.ts';

const pageSize = 1000;

/** The lines of usage in the order in which they were written; a corrected line comes again. */
async function* linesOf({ keys, archive }: Station): AsyncGenerator<UsageEvent> {
  // Of a combined store this carries over what the archive has yet to hear of.
  await keys.usage({});
  for (let cursor: string | null = null; ; ) {
    const page = await archive.usageEvents(cursor, pageSize);
    yield* page.events;
    if (page.events.length === 0) return;
    cursor = page.cursor;
  }
}

/** The lines of one key. */
export async function readUsage(station: Station, keyId: string): Promise<readonly UsageEvent[]> {
  const lines: UsageEvent[] = [];
  for await (const line of linesOf(station)) if (line.keyId === keyId) lines.push(line);
  return lines;
}

/** What the lines of all keys add up to, each call's latest line counted. */
export async function readSpending(station: Station): Promise<readonly Spending[]> {
  const latest = new Map<string, UsageEvent>();
  for await (const line of linesOf(station)) latest.set(`${line.holdId} ${line.callId}`, line);
  const sums = spendings();
  for (const { keyId, costNanoUsd } of latest.values()) sums.add({ keyId, calls: 1, costNanoUsd });
  return sums.all();
}

/** How many holds were ended by their lease in this process, as listeners were told. */
export async function readAbandoned({ abandoned }: Station): Promise<number> {
  return abandoned.length;
}
