const maxBytes = 8 * 1024 * 1024;

/** A copy of a body that passes by, for reading it as JSON when it is complete. */
export interface BodyCopy {
  add(chunk: Buffer): void;
  /** `undefined` for what is not JSON, and for more than 8 MiB. */
  json(): unknown;
}

export function createBodyCopy(): BodyCopy {
  let chunks: Buffer[] = [];
  let size = 0;
  return {
    add(chunk) {
      size += chunk.length;
      if (size > maxBytes) chunks = [];
      else chunks.push(chunk);
    },
    json() {
      if (size > maxBytes) return undefined;
      try {
        return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
      } catch {
        return undefined;
      }
    },
  };
}
