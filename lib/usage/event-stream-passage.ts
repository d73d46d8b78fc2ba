import type { UsageReader } from './formats/format.ts';
import { isObject, type JsonObject, parseJson } from './formats/json.ts';
import type { Reading } from './formats/reading.ts';
import { noBytes, type Passage } from './passage.ts';
import { type SsePiece, SseSplitter } from './sse.ts';

/** Frames that wait for a verdict are memory that a slow upstream holds: longer ones pass on unread. */
const maxFrameBytesHeldBack = 1024 * 1024;
/** Only read, not held back: the last event of a stream may repeat the whole answer, images included. */
const maxFrameBytesRead = 8 * 1024 * 1024;

/** Reads the events of a stream as they pass. */
export function eventStreamPassage(reader: UsageReader, reading: Reading): Passage {
  const splitter = new SseSplitter(maxFrameBytesRead, reader.skimFrame);
  return {
    write(bytes) {
      for (const piece of splitter.push(bytes)) readPiece(piece, reader, reading);
      return bytes;
    },
    end() {
      for (const piece of splitter.flush()) readPiece(piece, reader, reading);
      return noBytes;
    },
  };
}

/** Reads the events of a stream, and leaves some out. An unfinished frame is kept back until it may pass or not. */
export function eventStreamFilter(
  reader: UsageReader,
  reading: Reading,
  isDropped: (event: JsonObject) => boolean,
): Passage {
  const splitter = new SseSplitter(maxFrameBytesHeldBack, reader.skimFrame);
  let lastWasDropped = false;

  function passes(piece: SsePiece): boolean {
    // The rest of a line end goes the way of its frame.
    if (piece.kind !== 'line_feed') {
      const event = readPiece(piece, reader, reading);
      lastWasDropped = event !== undefined && isDropped(event);
    }
    return !lastWasDropped;
  }

  return {
    write(bytes) {
      const hadHeld = splitter.isHolding;
      const pieces = splitter.push(bytes);
      const passed = pieces.filter(passes);
      const isUncut = !hadHeld && !splitter.isHolding && passed.length === pieces.length;
      return isUncut ? bytes : join(passed);
    },
    end: () => join(splitter.flush().filter(passes)),
  };
}

function join(pieces: readonly SsePiece[]): Buffer {
  return Buffer.concat(pieces.map(({ raw }) => raw));
}

function readPiece(piece: SsePiece, reader: UsageReader, reading: Reading): JsonObject | undefined {
  if (piece.kind === 'fragment') reading.problem = 'too_large';
  if (piece.kind !== 'frame' || piece.data === '') return undefined;
  if (piece.data === '[DONE]') {
    reading.complete = true;
    return undefined;
  }
  const event = parseJson(piece.data);
  if (!isObject(event)) return undefined;
  reader.readEvent(event, piece.event);
  return event;
}
