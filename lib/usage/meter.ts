import { contentPassage, unreadPassage } from './content-passage.ts';
import { decodedPassage } from './decoded-passage.ts';
import { type MeterFormat, type UsageReader, usageReader } from './formats/format.ts';
import { isUsageOnlyChunk } from './formats/openai-chat.ts';
import { Reading, type ReadingProblem } from './formats/reading.ts';
import { noBytes, type Passage } from './passage.ts';
import type { TokenUsage } from './usage.ts';

export interface MeterOptions {
  readonly format: MeterFormat;
  /** Header `content-type`. Without one, the first byte decides between JSON and an event stream. */
  readonly contentType?: string | undefined;
  /** Header `content-encoding`. Encoded responses are decoded for reading only. */
  readonly contentEncoding?: string | undefined;
  /**
   * The usage of an OpenAI chat stream was asked for on the client's behalf: the chunk that carries nothing else is not
   * passed on. In encoded streams it is, since they cannot be cut.
   *
   * @defaultValue false
   */
  readonly injectedUsage?: boolean | undefined;
}

/** Watches one response until it ends. */
export interface Meter {
  /**
   * Takes the next bytes of the body and answers those to pass on: the same, unless usage was injected. Then the bytes
   * of an unfinished event wait for its end, and the injected chunk is left out. Never throws.
   */
  write(chunk: Buffer): Buffer;
  /** Ends the body, whole or broken off, and answers the bytes still kept back. Later calls do nothing. */
  end(): Buffer;
  /**
   * Takes a body that comes in one piece, where it can be read so: that saves the copy. It goes on as it is. `false`: it
   * is not taken, and to be given by `write` and `end`.
   */
  readWhole(body: Buffer | string): boolean;
  /** What the response told: at once, but where a decoder is still at work. Ends the body, if that has not happened. */
  result(): MeterResult | Promise<MeterResult>;
}

/** What a response told of its usage. It knows nothing of the status: an error's body simply tells none. */
export interface MeterResult {
  /**
   * The provider's last word. Final where `complete`; else it covers the response up to some point, and
   * `seen.outputTokens` is what came after it. `null`: nothing was told, or nothing possible.
   */
  readonly usage: TokenUsage | null;
  /** Output that passed by and that `usage` does not cover: bytes of text, reasoning and tool calls / 4, rounded up. */
  readonly seen: { readonly outputTokens: number };
  /** The model that answered, as the provider names it. */
  readonly model: string | null;
  /** The response reached its own end: the closing event of a stream, or the last brace of a body. */
  readonly complete: boolean;
  /** The response says that something failed, in a body or in the middle of a stream. */
  readonly error: boolean;
  /** Why not all of it could be read. */
  readonly problem?: ReadingProblem;
}

/** Meters one response. It passes every byte on at once and reads a copy of it, in bounded memory. */
export function createMeter(options: MeterOptions): Meter {
  const reading = new Reading();
  const reader = usageReader(options.format, reading);
  const passage = reader === null ? unreadPassage(reading, 'unmetered') : openPassage(options, reader, reading);
  let hasBegun = false;
  let hasEnded = false;
  let heldBack = noBytes;

  function finish(): void {
    if (hasEnded) return;
    hasBegun = true;
    hasEnded = true;
    heldBack = passage.end();
  }

  return {
    write(chunk) {
      hasBegun = true;
      return hasEnded ? chunk : passage.write(chunk);
    },
    end() {
      finish();
      const bytes = heldBack;
      heldBack = noBytes;
      return bytes;
    },
    readWhole(body) {
      if (hasBegun || passage.readWhole?.(body) !== true) return false;
      hasBegun = true;
      hasEnded = true;
      return true;
    },
    result() {
      finish();
      return passage.closed === undefined ? resultOf(reading) : passage.closed.then(() => resultOf(reading));
    },
  };
}

function resultOf({ usage, unreportedOutputTokens, model, complete, error, problem }: Reading): MeterResult {
  const result = { usage, seen: { outputTokens: unreportedOutputTokens }, model, complete, error };
  return problem === null ? result : { ...result, problem };
}

function openPassage(options: MeterOptions, reader: UsageReader, reading: Reading): Passage {
  const encoding = options.contentEncoding?.trim().toLowerCase() ?? '';
  if (encoding !== '' && encoding !== 'identity') {
    return decodedPassage(encoding, contentPassage(options.contentType, reader, reading, null), reading);
  }
  const isDropped = options.injectedUsage === true && options.format === 'openai-chat' ? isUsageOnlyChunk : null;
  return contentPassage(options.contentType, reader, reading, isDropped);
}
