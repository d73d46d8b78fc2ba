import type { TwinState } from '../stores/store.ts';

/** How a key stands with its twin in another system. */
export interface ShownSync {
  readonly state: TwinState;
  /** The twin's name there; `null`: there is no twin. */
  readonly alias: string | null;
  /** Why it is not synced, in one line; absent where it is. */
  readonly error?: string;
  /** What the other system does not hold, or holds differently. */
  readonly warnings: readonly string[];
  /** Tries since the last change or success. */
  readonly attempts: number;
  /** When both sides were last found equal. */
  readonly syncedAt?: string;
}

/** How many twins are in each state, and how many keys wait to be looked at. */
export interface SyncStatus {
  readonly pending: number;
  readonly synced: number;
  readonly error: number;
  readonly orphaned: number;
  /** Keys that are to be looked at now or are being looked at, and those that are put off. */
  readonly waiting: { readonly now: number; readonly later: number };
}

/** What a mirror tells the service that it mirrors. */
export interface AttachedMirror {
  show(keyIds: readonly string[]): Promise<ReadonlyMap<string, ShownSync>>;
  /** @throws KeyNotFoundError */
  resync(keyId: string): Promise<ShownSync>;
  status(): Promise<SyncStatus>;
}

/** Where a service keeps the mirror that is attached to it. */
export interface MirrorPlace {
  readonly current: AttachedMirror | undefined;
  /** @throws TypeError where one is attached */
  attach(mirror: AttachedMirror): void;
}

export function createMirrorPlace(): MirrorPlace {
  let current: AttachedMirror | undefined;
  return {
    get current() {
      return current;
    },
    attach(mirror) {
      if (current !== undefined) throw new TypeError('These keys have a mirror already');
      current = mirror;
    },
  };
}
