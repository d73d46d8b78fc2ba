/** What a body goes through on its way to the client, and is read in. */
export interface Passage {
  /** Answers the bytes to pass on. */
  write(bytes: Buffer): Buffer;
  /** Answers the bytes that were kept back. */
  end(): Buffer;
  /** Takes a body that is there in one piece and goes on as it is. `false`: give it by `write` and `end`. */
  readWhole?(body: Buffer | string): boolean;
  /** Resolves when reading has ended, where it goes on after `end`. */
  readonly closed?: Promise<void>;
}

export const noBytes: Buffer = Buffer.alloc(0);
