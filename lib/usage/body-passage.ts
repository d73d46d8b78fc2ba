import { ByteBuffer } from './byte-buffer.ts';
import type { UsageReader } from './formats/format.ts';
import { isObject, parseJson } from './formats/json.ts';
import type { Reading } from './formats/reading.ts';
import { completeElements } from './json-array.ts';
import { noBytes, type Passage } from './passage.ts';

/** Larger bodies are passed on unread. */
const maxBodyBytes = 8 * 1024 * 1024;

/** Reads a JSON body once it has ended: an object, or the array of events that Gemini streams without `alt=sse`. */
export function bodyPassage(reader: UsageReader, reading: Reading): Passage {
  let body: ByteBuffer | undefined = new ByteBuffer();

  return {
    write(bytes) {
      if (body === undefined) return bytes;
      if (body.length + bytes.length <= maxBodyBytes) {
        body.append(bytes);
      } else {
        body = undefined;
        reading.problem = 'too_large';
      }
      return bytes;
    },
    end() {
      if (body !== undefined) readBody(body.take().toString('utf8'), reader, reading);
      body = undefined;
      return noBytes;
    },
  };
}

/** Reads a JSON body that is there in one piece. */
export function readWholeBody(body: Buffer | string, reader: UsageReader, reading: Reading): void {
  if (body.length > maxBodyBytes) reading.problem = 'too_large';
  else readBody(body.toString(), reader, reading);
}

function readBody(text: string, reader: UsageReader, reading: Reading): void {
  const value = parseJson(text);
  if (isObject(value)) {
    reading.complete = true;
    reader.readBody(value);
  } else if (Array.isArray(value)) {
    reading.complete = true;
    readEvents(value, reader);
  } else {
    reading.problem ??= 'not_json';
    readEvents(completeElements(text), reader);
  }
}

function readEvents(events: readonly unknown[], reader: UsageReader): void {
  for (const event of events) if (isObject(event)) reader.readEvent(event, '');
}
