import { ByteBuffer } from './byte-buffer.ts';

/**
 * One piece of an event stream. The `raw` bytes of all pieces, in order, are the bytes that were pushed.
 *
 * - `frame`: a whole event, up to and including the blank line that ends it
 * - `skimmed`: whole events that were taken while they were being looked for
 * - `fragment`: a part of an event that is too long to be kept
 * - `line_feed`: the LF of a CRLF whose CR, which already ended the piece before, was the last byte of a chunk
 */
export type SsePiece =
  | { readonly kind: 'frame'; readonly raw: Buffer; readonly event: string; readonly data: string }
  | { readonly kind: 'skimmed' | 'fragment' | 'line_feed'; readonly raw: Buffer };

/**
 * Takes the frame that starts at an index of a chunk, if it is a simple one, and answers where the next one starts; else
 * answers the same index. `text` has one character for each byte.
 */
export type SkimFrame = (text: string, frameStart: number) => number;

const lf = 0x0a;
const cr = 0x0d;
const byteOrderMark = '\uFEFF';

/**
 * Splits a server-sent event stream into frames, with their bytes exactly as they came: line ends may be LF, CRLF or
 * CR, and chunks may be cut anywhere, within a character too. Parsers of events drop comments, line ends and unknown
 * fields, which a proxy must pass on.
 *
 * Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
export class SseSplitter {
  readonly #maxFrameBytes: number;
  readonly #onPiece: (piece: SsePiece) => void;
  readonly #skimFrame: SkimFrame | undefined;
  readonly #held = new ByteBuffer();
  #isFirst = true;
  #isTooLong = false;
  #atLineStart = true;
  #afterCr = false;

  /**
   * @param maxFrameBytes longer frames come as fragments
   * @param onPiece gets every piece, before a frame that follows it is skimmed
   */
  constructor(maxFrameBytes: number, onPiece: (piece: SsePiece) => void, skimFrame?: SkimFrame) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#onPiece = onPiece;
    this.#skimFrame = skimFrame;
  }

  /** Whether bytes of an unfinished frame are kept back. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** Takes the next bytes, and hands out every piece that they complete. */
  push(chunk: Buffer): void {
    if (this.#skimFrame === undefined) this.#split(chunk);
    else this.#skim(chunk, this.#skimFrame);
  }

  /** Ends the stream, and hands out a last frame that no blank line has ended. */
  flush(): void {
    if (this.isHolding) this.#onPiece(this.#readFrame(this.#held.take()));
  }

  #skim(chunk: Buffer, skimFrame: SkimFrame): void {
    const text = chunk.toString('latin1');
    let start = 0;
    while (start < text.length) {
      let end = start;
      if (!this.isHolding && !this.#isTooLong && !this.#afterCr && !this.#isFirst) {
        for (let next = skimFrame(text, end); next > end; next = skimFrame(text, end)) end = next;
        if (end > start) this.#onPiece({ kind: 'skimmed', raw: slice(chunk, start, end) });
        start = end;
      }
      const blankLine = text.indexOf('\n\n', start);
      end = blankLine < 0 ? text.length : blankLine + 2;
      if (end > start) this.#split(slice(chunk, start, end));
      start = end;
    }
  }

  #split(chunk: Buffer): void {
    let frameStart = 0;
    let lineStart = 0;
    if (this.#afterCr && chunk.length > 0) {
      this.#afterCr = false;
      if (chunk[0] === lf) {
        lineStart = 1;
        if (!this.isHolding && !this.#isTooLong) {
          this.#onPiece({ kind: 'line_feed', raw: chunk.subarray(0, 1) });
          frameStart = 1;
        }
      }
    }

    // Most streams have no CR at all: then it is looked for once a chunk, and each line costs one native search.
    let nextLf = chunk.indexOf(lf, lineStart);
    let nextCr = chunk.indexOf(cr, lineStart);
    while (nextLf >= 0 || nextCr >= 0) {
      const endsByCr = nextCr >= 0 && (nextLf < 0 || nextCr < nextLf);
      const lineEnd = endsByCr ? nextCr : nextLf;
      const isBlank = this.#atLineStart && lineEnd === lineStart;
      lineStart = lineEnd + 1;
      if (endsByCr && lineStart === chunk.length) this.#afterCr = true;
      if (endsByCr && lineStart === nextLf) lineStart += 1;
      this.#atLineStart = true;
      if (isBlank) {
        this.#onPiece(this.#endFrame(chunk.subarray(frameStart, lineStart)));
        frameStart = lineStart;
      }
      if (nextLf >= 0 && nextLf < lineStart) nextLf = chunk.indexOf(lf, lineStart);
      if (nextCr >= 0 && nextCr < lineStart) nextCr = chunk.indexOf(cr, lineStart);
    }

    if (lineStart < chunk.length) this.#atLineStart = false;
    if (frameStart < chunk.length) this.#hold(chunk.subarray(frameStart));
  }

  #hold(bytes: Buffer): void {
    if (!this.#isTooLong) {
      this.#held.append(bytes);
      if (this.#held.length <= this.#maxFrameBytes) return;
      this.#isTooLong = true;
      this.#onPiece({ kind: 'fragment', raw: this.#held.take() });
    } else {
      this.#onPiece({ kind: 'fragment', raw: bytes });
    }
  }

  #endFrame(bytes: Buffer): SsePiece {
    if (this.#isTooLong || this.#held.length + bytes.length > this.#maxFrameBytes) {
      this.#isTooLong = false;
      return { kind: 'fragment', raw: this.#joinHeld(bytes) };
    }
    return this.#readFrame(this.#joinHeld(bytes));
  }

  #joinHeld(bytes: Buffer): Buffer {
    if (!this.isHolding) return bytes;
    this.#held.append(bytes);
    return this.#held.take();
  }

  #readFrame(raw: Buffer): SsePiece {
    let text = raw.toString('utf8');
    if (this.#isFirst && text.startsWith(byteOrderMark)) text = text.slice(1);
    this.#isFirst = false;
    return { kind: 'frame', raw, ...readFields(text) };
  }
}

/** A view of a part, or the chunk itself where that is all of it: making views costs as much as splitting. */
function slice(chunk: Buffer, start: number, end: number): Buffer {
  return start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
}

function readFields(frame: string): { readonly event: string; readonly data: string } {
  // Most frames are one line of data.
  if (frame.startsWith('data:') && frame.indexOf('\n') === frame.length - 2 && frame.endsWith('\n\n')) {
    const data = fieldValue(frame.slice(0, -2), 5);
    if (!data.includes('\r')) return { event: '', data };
  }
  let event = '';
  let data: string | undefined;
  for (const line of frame.includes('\r') ? frame.split(/\r\n|\r|\n/) : frame.split('\n')) {
    if (line.startsWith('data:')) {
      const value = fieldValue(line, 5);
      data = data === undefined ? value : `${data}\n${value}`;
    } else if (line.startsWith('event:')) {
      event = fieldValue(line, 6);
    }
  }
  return { event, data: data ?? '' };
}

function fieldValue(line: string, start: number): string {
  return line.slice(line[start] === ' ' ? start + 1 : start);
}
