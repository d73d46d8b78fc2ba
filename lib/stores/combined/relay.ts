import type { CombinableLedger, CombinableRecords } from '../combinable.ts';
import type { WithDeadline } from '../deadline.ts';
import { atEnd, type RelayMark, readMark, writeMark } from './relay-mark.ts';
import { createRounds } from './rounds.ts';

/** How long a line may take to become visible after later ones. */
const overlapMs = 5000;
const pageSize = 500;
/** A round that has so many pages behind it lets others have their turn. */
const maxPages = 200;
/** How long whoever reads usage waits for what is on its way. */
const patienceMs = 250;

export interface RelayOptions {
  readonly records: CombinableRecords;
  readonly ledger: CombinableLedger;
  /** Of each call; a half that does not answer must not hold up the relay for good. */
  readonly withDeadline: WithDeadline;
}

/** Carries usage from the ledger to the archive of the records, each line once. Any number of processes may do so. */
export interface Relay {
  /** Archives what the ledger has; answers whether that was all. Rejects where a half does not answer. */
  run(): Promise<boolean>;
  /** As {@link Relay.run}, not waiting for long: whether all that the ledger had is archived now. */
  hasCaughtUp(): Promise<boolean>;
  /** How many events the ledger has, those among them that it may forget soon; counted up to so many. 0: nobody knows. */
  backlog(atMost: number): Promise<number>;
}

interface Place {
  /** As the archive has it: whoever moves it must know it. */
  readonly text: string | null;
  readonly mark: RelayMark;
}

export function createRelay({ records, ledger, withDeadline }: RelayOptions): Relay {
  async function findPlace(): Promise<Place> {
    const text = await withDeadline(records.archivedUntil());
    return { text, mark: readMark(text) };
  }

  /** Archives a page and moves the mark, in one act; elsewhere, where another process has moved it meanwhile. */
  async function archive(place: Place, events: Parameters<CombinableRecords['archiveUsage']>[0], mark: RelayMark) {
    const text = writeMark(mark);
    const { state } = await withDeadline(records.archiveUsage(events, { from: place.text, to: text }));
    if (state === 'overtaken') return findPlace();
    // The archive has them now: the ledger may forget what was read twice.
    if (mark.done !== null && mark.done !== place.mark.done) await withDeadline(ledger.trimUsage(mark.done));
    return { text, mark };
  }

  const run = createRounds(async () => {
    let place = await findPlace();
    for (let page = 0; page < maxPages; page += 1) {
      const { events, cursor } = await withDeadline(ledger.usageEvents(place.mark.at, pageSize));
      if (events.length > 0) {
        place = await archive(place, events, { ...place.mark, at: cursor });
        continue;
      }
      const { mark } = place;
      const next = atEnd(mark, await withDeadline(ledger.now()), overlapMs);
      if (next === mark) return true;
      place = await archive(place, [], next);
      if (mark.isSecond) return true;
    }
    return false;
  });

  return {
    run,
    backlog: (atMost) => withDeadline(ledger.countUsage(atMost)).catch(() => 0),
    async hasCaughtUp() {
      let timer: NodeJS.Timeout | undefined;
      const impatience = new Promise<boolean>((resolve) => {
        timer = setTimeout(resolve, patienceMs, false);
      });
      try {
        return await Promise.race([run().catch(() => false), impatience]);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
