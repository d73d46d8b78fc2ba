import { createHash } from 'node:crypto';

const smallestSlots = 1024;
const wordsOfId = 4;

/**
 * Whole numbers by id. The bits of the ids lie in the order in which they came, so that those of late lie together; an
 * open-addressed table of 4 bytes a slot leads there. Nothing of it is for the garbage collector to look at or to move.
 * A `Map` by a million random strings takes several times as long for each of them.
 */
export class IdTable {
  #size = 0;
  #ids = new Int32Array((smallestSlots / 2) * wordsOfId);
  #values = new Int32Array(smallestSlots / 2);
  /** 0: free; else the position among the ids, from 1, in as many bits as number the slots, and bits of the id above. */
  #slots = new Int32Array(smallestSlots);

  /** `undefined`: the id is not here. */
  get(id: IdBits): number | undefined {
    const slots = this.#slots;
    const entry = slots[this.#slotOf(id)] ?? 0;
    return entry === 0 ? undefined : this.#values[(entry & (slots.length - 1)) - 1];
  }

  set(id: IdBits, value: number): void {
    const mask = this.#slots.length - 1;
    const slot = this.#slotOf(id);
    const entry = this.#slots[slot] ?? 0;
    if (entry !== 0) {
      this.#values[(entry & mask) - 1] = value;
      return;
    }
    const at = this.#size * wordsOfId;
    this.#ids[at] = id.first;
    this.#ids[at + 1] = id.second;
    this.#ids[at + 2] = id.third;
    this.#ids[at + 3] = id.fourth;
    this.#values[this.#size] = value;
    this.#size += 1;
    this.#slots[slot] = (id.second & ~mask) | this.#size;
    if (this.#size === this.#values.length) this.#grow();
  }

  /** Where the id is, or else the free slot where it belongs. */
  #slotOf(id: IdBits): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = id.first & mask;
    for (let entry = slots[slot] ?? 0; entry !== 0; entry = slots[slot] ?? 0) {
      if (((entry ^ id.second) & ~mask) === 0 && this.#isAt((entry & mask) - 1, id)) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #isAt(position: number, { first, second, third, fourth }: IdBits): boolean {
    const ids = this.#ids;
    const at = position * wordsOfId;
    return ids[at] === first && ids[at + 1] === second && ids[at + 2] === third && ids[at + 3] === fourth;
  }

  #grow(): void {
    const ids = this.#ids;
    const values = this.#values;
    this.#ids = new Int32Array(ids.length * 2);
    this.#ids.set(ids);
    this.#values = new Int32Array(values.length * 2);
    this.#values.set(values);
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let position = 0; position < this.#size; position += 1) {
      let slot = (ids[position * wordsOfId] ?? 0) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = ((ids[position * wordsOfId + 1] ?? 0) & ~mask) | (position + 1);
    }
    this.#slots = slots;
  }
}

/**
 * The 128 bits of an id: its 32 digits of hex, as `randomId` gives them, or else of the SHA-256 of any other text. Made
 * once, and read into again and again.
 */
export class IdBits {
  first = 0;
  second = 0;
  third = 0;
  fourth = 0;
  #text: string | undefined;

  /** The bits of this id, until the next one is read. */
  of(text: string): this {
    if (text === this.#text) return this;
    this.#text = text;
    if (!this.#read(text)) this.#read(createHash('sha256').update(text).digest('hex').slice(0, 32));
    return this;
  }

  #read(text: string): boolean {
    if (text.length !== 32) return false;
    const first = wordAt(text, 0);
    const second = wordAt(text, 8);
    const third = wordAt(text, 16);
    const fourth = wordAt(text, 24);
    if (first < 0 || second < 0 || third < 0 || fourth < 0) return false;
    this.first = first | 0;
    this.second = second | 0;
    this.third = third | 0;
    this.fourth = fourth | 0;
    return true;
  }
}

/** Eight digits of hex as a number of 32 bits without a sign; -1: not all of them are. */
function wordAt(text: string, start: number): number {
  let word = 0;
  for (let at = start; at < start + 8; at += 1) {
    const digit = digits[text.charCodeAt(at)] ?? notHex;
    if (digit === notHex) return -1;
    word = (word << 4) | digit;
  }
  return word >>> 0;
}

const notHex = 16;
const digits = new Uint8Array(128).fill(notHex);
for (let digit = 0; digit < 16; digit += 1) digits[digit.toString(16).charCodeAt(0)] = digit;
