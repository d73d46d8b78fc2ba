const initialCapacity = 1024;

/** Bytes gathered in pieces of any size, at a cost that grows with their number only: the space doubles. */
export class ByteBuffer {
  #space: Buffer = Buffer.alloc(0);
  length = 0;

  append(bytes: Buffer): void {
    const needed = this.length + bytes.length;
    if (needed > this.#space.length) {
      const space = Buffer.allocUnsafe(Math.max(needed, this.#space.length * 2, initialCapacity));
      this.#space.copy(space, 0, 0, this.length);
      this.#space = space;
    }
    bytes.copy(this.#space, this.length);
    this.length = needed;
  }

  /** Hands the bytes over and starts anew. */
  take(): Buffer {
    const bytes = this.#space.subarray(0, this.length);
    this.#space = Buffer.alloc(0);
    this.length = 0;
    return bytes;
  }
}
