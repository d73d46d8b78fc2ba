import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import type { EchoAnswer } from './answer.ts';
import type { EchoBehaviour } from './behaviour.ts';

/** Sends an answer as the behaviour wants it; resolves when it is sent, has failed as it should, or nobody waits for it. */
export async function sendAnswer(res: ServerResponse, answer: EchoAnswer, behaviour: EchoBehaviour): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  try {
    await pause(behaviour.delayMs, gone.signal);
    res.writeHead(answer.status, {
      'content-type': answer.contentType,
      ...lengthOf(answer, behaviour),
      ...behaviour.headers,
    });
    const { frames, isWhole } = framesToSend(answer, behaviour);
    for (const chunk of chunksOf(frames, behaviour.chunkBytes)) {
      if (gone.signal.aborted) return;
      if (!res.write(chunk)) await once(res, 'drain', { signal: gone.signal });
      // What is written in one turn goes out as one piece.
      if (behaviour.chunkBytes !== undefined) await turn();
      await pause(behaviour.chunkDelayMs, gone.signal);
    }
    if (isWhole || gone.signal.aborted) res.end();
    else await fail(res, answer, behaviour, gone.signal);
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
}

function lengthOf({ frames, errorFrame }: EchoAnswer, { fault }: EchoBehaviour): { 'content-length'?: number } {
  if (errorFrame !== undefined || fault === 'truncate') return {};
  return { 'content-length': frames.reduce((bytes, text) => bytes + Buffer.byteLength(text), 0) };
}

function framesToSend(
  { frames, errorFrame, status }: EchoAnswer,
  { fault, faultAfter = 2 }: EchoBehaviour,
): { readonly frames: readonly string[]; readonly isWhole: boolean } {
  if (fault === undefined || status >= 400) return { frames, isWhole: true };
  if (errorFrame !== undefined)
    return { frames: frames.slice(0, Math.min(faultAfter, frames.length - 1)), isWhole: false };
  if (fault === 'error_frame') return { frames, isWhole: true };
  const body = frames.join('');
  return { frames: [body.slice(0, Math.ceil(body.length / 2))], isWhole: false };
}

function* chunksOf(frames: readonly string[], chunkBytes: number | undefined): Generator<Buffer> {
  for (const text of frames) {
    const bytes = Buffer.from(text);
    const size = chunkBytes ?? bytes.length;
    for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
  }
}

async function fail(
  res: ServerResponse,
  { errorFrame }: EchoAnswer,
  { fault }: EchoBehaviour,
  gone: AbortSignal,
): Promise<void> {
  switch (fault) {
    case 'abort':
      // What was written before is still sent.
      res.socket?.destroySoon();
      return;
    case 'stall':
      // The head waits for the first piece of the body, and there may be none.
      res.flushHeaders();
      await once(gone, 'abort');
      return;
    case 'error_frame':
      res.end(errorFrame);
      return;
    default:
      res.end();
  }
}

async function pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
  if (ms !== undefined && ms > 0) await wait(ms, undefined, { signal });
}
