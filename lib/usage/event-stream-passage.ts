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
  const splitter = new SseSplitter(
    maxFrameBytesRead,
    (piece) => {
      readPiece(piece, reader, reading);
    },
    reader.skimFrame,
  );
  return {
    write(bytes) {
      splitter.push(bytes);
      return bytes;
    },
    end() {
      splitter.flush();
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
  const splitter = new SseSplitter(maxFrameBytesHeldBack, take, reader.skimFrame);
  let passed: Buffer[] = [];
  let differs = false;
  let lastWasDropped = false;

  function take(piece: SsePiece): void {
    // The rest of a line end goes the way of its frame.
    if (piece.kind !== 'line_feed') {
      const event = readPiece(piece, reader, reading);
      lastWasDropped = event !== undefined && isDropped(event);
    }
    if (lastWasDropped) differs = true;
    else passed.push(piece.raw);
  }

  function takePassed(): Buffer {
    const bytes = Buffer.concat(passed);
    passed = [];
    return bytes;
  }

  return {
    write(bytes) {
      differs = splitter.isHolding;
      splitter.push(bytes);
      if (differs || splitter.isHolding) return takePassed();
      passed = [];
      return bytes;
    },
    end() {
      splitter.flush();
      return takePassed();
    },
  };
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
