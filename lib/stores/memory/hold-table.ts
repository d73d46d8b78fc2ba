import type { OpenHold } from '../../ledger/holds.ts';

const smallestSlots = 1024;

/**
 * Holds by their random ids: the open ones, and of those that have ended the id alone. An open-addressed table that tells
 * by 32 bits of hash, side by side, that an id is none of its own, as most that are asked for are not. A `Map` of a
 * million ids takes three times as long, since it looks at what lies scattered, and at all of it whenever it grows.
 */
export class HoldTable {
  #size = 0;
  /** By slot; 0: nothing is there. */
  #hashes = new Int32Array(smallestSlots);
  #entries = emptySlots(smallestSlots);

  /** The open hold, or its id where it has ended; `undefined`: it is not here. */
  find(holdId: string): OpenHold | string | undefined {
    return this.#entries[this.#slotOf(holdId, hashOf(holdId))];
  }

  /** In place of what is known of the id. */
  put(holdId: string, entry: OpenHold | string): void {
    const hash = hashOf(holdId);
    const slot = this.#slotOf(holdId, hash);
    this.#entries[slot] = entry;
    if (this.#hashes[slot] !== 0) return;
    this.#hashes[slot] = hash;
    this.#size += 1;
    if (this.#size * 2 > this.#hashes.length) this.#grow();
  }

  /** Where the id is, or else the free slot where it belongs. */
  #slotOf(holdId: string, hash: number): number {
    const hashes = this.#hashes;
    const mask = hashes.length - 1;
    let slot = hash & mask;
    for (let other = hashes[slot]; other !== 0; other = hashes[slot]) {
      if (other === hash) {
        const entry = this.#entries[slot];
        if ((typeof entry === 'object' ? entry.holdId : entry) === holdId) break;
      }
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const hashes = this.#hashes;
    const entries = this.#entries;
    const slots = hashes.length * 2;
    this.#hashes = new Int32Array(slots);
    this.#entries = emptySlots(slots);
    for (let from = 0; from < hashes.length; from += 1) {
      const hash = hashes[from] ?? 0;
      if (hash === 0) continue;
      let slot = hash & (slots - 1);
      while (this.#hashes[slot] !== 0) slot = (slot + 1) & (slots - 1);
      this.#hashes[slot] = hash;
      this.#entries[slot] = entries[from];
    }
  }
}

function emptySlots(count: number): (OpenHold | string | undefined)[] {
  return new Array<OpenHold | string | undefined>(count).fill(undefined);
}

/** Of the last characters, which are random in every id that is minted. Never 0. */
function hashOf(holdId: string): number {
  let hash = 0;
  for (let at = Math.max(0, holdId.length - 8); at < holdId.length; at += 1) {
    hash = Math.imul(hash, 31) + holdId.charCodeAt(at);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) | 1;
}
