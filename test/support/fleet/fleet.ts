import { memoryStore } from '../../../lib/index.ts';
import { startLocalWorker } from './local-worker.ts';
import { type ProcessWorker, startProcessWorker } from './process-worker.ts';
import type { StationSettings } from './station.ts';
import type { StoreAddress } from './store-address.ts';
import type { StorePlace } from './store-places.ts';
import { atOnce, type Worker } from './worker.ts';

/** Settings of all workers, or of each by its position. */
export type FleetSettings = StationSettings | ((at: number) => StationSettings);

/** Four workers on one store. */
export interface Fleet<W extends Worker = Worker> {
  /** Starts what takes its time: servers and processes. */
  start(): Promise<void>;
  /** Has all four open a store at once where there is none yet, each with a service of its own. */
  openEmptyStore(settings?: FleetSettings): Promise<Crew<W>>;
  /** Adds one to the store that was opened last. */
  join(settings?: StationSettings): Promise<W>;
  /** Ends all of it. */
  stop(options?: { readonly keep?: boolean }): Promise<void>;
}

/** A fleet of processes. */
export interface ProcessFleet extends Fleet<ProcessWorker> {
  /** Of the store that was opened last. */
  address(): StoreAddress;
}

export type Crew<W extends Worker = Worker> = readonly [W, W, W, W];

function settingsOf(settings: FleetSettings, at: number): StationSettings {
  return typeof settings === 'function' ? settings(at) : settings;
}

/** Its processes are used again for each store; those that died are replaced. */
export function processFleet(findPlace: () => Promise<StorePlace>): ProcessFleet {
  let place: StorePlace | undefined;
  let workers: readonly ProcessWorker[] = [];
  let opened: StoreAddress | undefined;

  function address(): StoreAddress {
    if (opened === undefined) throw new Error('No store was opened');
    return opened;
  }

  async function start(): Promise<StorePlace> {
    const living = workers.filter(({ isAlive }) => isAlive);
    const missing = Array.from({ length: Math.max(0, 4 - living.length) }, startProcessWorker);
    const [found, ...started] = await Promise.all([place ?? findPlace(), ...missing]);
    place = found;
    workers = [...living, ...started];
    return found;
  }

  return {
    address,
    async start() {
      await start();
    },
    async openEmptyStore(settings = {}) {
      const empty = (await start()).newAddress();
      opened = empty;
      // Those that had a store before leave it first, so that none begins later than the others.
      await Promise.all(workers.map((worker) => worker.close()));
      const crew = crewOf(workers);
      await atOnce(crew, (worker, beginAtMs, at) => worker.open(empty, settingsOf(settings, at), beginAtMs));
      return crew;
    },
    async join(settings = {}) {
      const worker = await startProcessWorker();
      workers = [...workers, worker];
      await worker.open(address(), settings, 0);
      return worker;
    },
    async stop({ keep = false } = {}) {
      await Promise.all(workers.map(async (worker) => worker.isAlive && worker.die()));
      if (!keep) await place?.clear();
    },
  };
}

/** Four services in one process, on one store in its memory. */
export function memoryFleet(): Fleet {
  let workers: readonly Worker[] = [];
  let store = memoryStore();

  async function leave(): Promise<void> {
    await Promise.all(workers.map((worker) => worker.die()));
  }

  return {
    start: async () => undefined,
    async openEmptyStore(settings = {}) {
      await leave();
      store = memoryStore();
      workers = await Promise.all([0, 1, 2, 3].map((at) => startLocalWorker(store, settingsOf(settings, at))));
      return crewOf(workers);
    },
    async join(settings = {}) {
      const worker = await startLocalWorker(store, settings);
      workers = [...workers, worker];
      return worker;
    },
    stop: leave,
  };
}

function crewOf<W extends Worker>([a, b, c, d]: readonly W[]): Crew<W> {
  if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('A crew is of four');
  return [a, b, c, d];
}
