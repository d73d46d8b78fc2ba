import { isTokenUsage, type TokenUsage } from '../usage.ts';

/** Why usage could not be read, or not all of it. The response itself was passed on all the same. */
export type ReadingProblem =
  /** The format has no usage to read. */
  | 'unmetered'
  /** A body or an event was longer than is kept for reading. */
  | 'too_large'
  /** The body was not JSON, or ended in the middle of it. */
  | 'not_json'
  /** The content type is none that has usage in it. */
  | 'content_type'
  /** The content encoding is unknown, its bytes were not what it says, or they unfolded to too many. */
  | 'content_encoding'
  /** The provider told counts that cannot be: negative, fractional, absurdly large, or more cached than sent. */
  | 'impossible_usage';

/** Counts as a provider told them, already inclusive of cache and reasoning. */
export interface ToldUsage {
  readonly inputTokens: number;
  /** `undefined`: this word of the provider says nothing about output yet. */
  readonly outputTokens: number | undefined;
  readonly cacheReadTokens?: number | undefined;
  readonly cacheWriteTokens?: number | undefined;
}

const maxModelLength = 256;
const bytesPerToken = 4;

/** What is known of one response so far. The reader of its format writes it, the meter hands it out. */
export class Reading {
  usage: TokenUsage | null = null;
  model: string | null = null;
  complete = false;
  error = false;
  problem: ReadingProblem | null = null;
  #outputBytes = 0;
  #toldBytes = 0;

  /** Output that `usage` does not cover yet, at four bytes a token, rounded up. */
  get unreportedOutputTokens(): number {
    return Math.ceil((this.#outputBytes - this.#toldBytes) / bytesPerToken);
  }

  /** The provider said what was used until now; its last word counts. */
  told(usage: ToldUsage): void {
    const counts = {
      inputTokens: usage.inputTokens,
      outputTokens: usage.outputTokens ?? 0,
      cacheReadTokens: usage.cacheReadTokens ?? 0,
      cacheWriteTokens: usage.cacheWriteTokens ?? 0,
    };
    if (!isTokenUsage(counts)) {
      this.usage = null;
      this.#toldBytes = 0;
      this.problem = 'impossible_usage';
      return;
    }
    this.usage = counts;
    if (usage.outputTokens !== undefined) this.#toldBytes = this.#outputBytes;
    if (this.problem === 'impossible_usage') this.problem = null;
  }

  /** Output passed by: text as it is, anything else as the JSON it came as. */
  saw(output: unknown): void {
    if (output === undefined || output === null) return;
    const text = typeof output === 'string' ? output : JSON.stringify(output);
    this.sawBytes(Buffer.byteLength(text));
  }

  /** So many bytes of output, in UTF-8, passed by. */
  sawBytes(bytes: number): void {
    this.#outputBytes += bytes;
  }

  named(model: unknown): void {
    if (typeof model === 'string' && model !== '' && model.length <= maxModelLength) this.model = model;
  }
}
