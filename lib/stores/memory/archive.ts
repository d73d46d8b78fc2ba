import { createGenerations } from '../../generations.ts';
import type { UsageEvent } from '../../usage/usage.ts';
import type { CombinableRecords } from '../combinable.ts';
import type { UsageLog } from './usage-log.ts';

const dayMs = 86_400_000;

export interface ArchiveOptions {
  readonly usageLog: UsageLog;
  readonly now: () => number;
  /** Lines of the last day that may still come again, or be corrected. */
  readonly maxLines: number;
}

/** The usage record of another store's ledger, in this one's. */
export function createArchive(options: ArchiveOptions): Pick<CombinableRecords, 'archivedUntil' | 'archiveUsage'> {
  const { usageLog, now, maxLines } = options;
  const lines = createGenerations<UsageEvent>({ maxSize: maxLines, retentionMs: dayMs });
  let mark: string | null = null;

  function keep(event: UsageEvent): void {
    const name = `${event.holdId}/${event.callId}`;
    const earlier = lines.get(name);
    lines.set(name, event, now());
    if (earlier === undefined) usageLog.append(event);
    else if (!isSame(earlier, event)) usageLog.replace(earlier, event);
  }

  return {
    async archivedUntil() {
      return mark;
    },
    async archiveUsage(events, { from, to }) {
      if (mark !== from) return { state: 'overtaken' };
      for (const event of events) keep(event);
      mark = to;
      return { state: 'archived' };
    },
  };
}

function isSame(a: UsageEvent, b: UsageEvent): boolean {
  return Object.entries(a).every(([field, value]) => b[field as keyof UsageEvent] === value);
}
