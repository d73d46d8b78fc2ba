import { bodyPassage, readWholeBody } from './body-passage.ts';
import { eventStreamFilter, eventStreamPassage } from './event-stream-passage.ts';
import type { UsageReader } from './formats/format.ts';
import type { JsonObject } from './formats/json.ts';
import type { Reading, ReadingProblem } from './formats/reading.ts';
import { noBytes, type Passage } from './passage.ts';

/**
 * The passage for a content type: an event stream, or JSON. Without a type the first bytes tell: handlers that write
 * an answer by hand often set none.
 */
export function contentPassage(
  contentType: string | undefined,
  reader: UsageReader,
  reading: Reading,
  isDropped: ((event: JsonObject) => boolean) | null,
): Passage {
  let passage: Passage | undefined;

  function open(first: Buffer): Passage {
    switch (contentKind(contentType, first)) {
      case 'json':
        return bodyPassage(reader, reading);
      case 'event_stream':
        return isDropped === null ? eventStreamPassage(reader, reading) : eventStreamFilter(reader, reading, isDropped);
      case 'other':
        return unreadPassage(reading, 'content_type');
    }
  }

  return {
    write(bytes) {
      if (bytes.length === 0) return bytes;
      passage ??= open(bytes);
      return passage.write(bytes);
    },
    end: () => passage?.end() ?? noBytes,
    readWhole(body) {
      if (contentType === undefined || contentKind(contentType, noBytes) !== 'json') return false;
      readWholeBody(body, reader, reading);
      return true;
    },
  };
}

/** Passes everything on and reads nothing, for the reason given. */
export function unreadPassage(reading: Reading, problem: ReadingProblem): Passage {
  reading.problem = problem;
  return { write: (bytes) => bytes, end: () => noBytes };
}

function contentKind(contentType: string | undefined, first: Buffer): 'json' | 'event_stream' | 'other' {
  if (contentType === undefined) return /^\s*[{[]/.test(first.toString('latin1', 0, 64)) ? 'json' : 'event_stream';
  const [mediaType = ''] = contentType.toLowerCase().split(';');
  const name = mediaType.trim();
  if (name === 'text/event-stream') return 'event_stream';
  return name === 'application/json' || name.endsWith('+json') ? 'json' : 'other';
}
