import type { Meter } from '../usage/meter.ts';

/** What the reading of an upstream's answer comes to. */
export interface UpstreamWatcher {
  readonly meter: Meter;
  /** Bytes have come. */
  readonly onProgress: () => void;
  /** The body is complete, broken off, or left by its reader. Called once. */
  readonly onEnd: () => void;
  /** Whether an answer that its reader leaves now is read on, to its end, for its usage. */
  readonly drains: () => boolean;
}

/** The same answer, with every byte seen by a watcher on its way to whoever reads it. */
export function watchedResponse(response: Response, watcher: UpstreamWatcher): Response {
  if (response.body === null) {
    watcher.onEnd();
    return response;
  }
  const { status, statusText, headers, url } = response;
  const watched = new Response(watchedBody(response.body, watcher), { status, statusText, headers });
  Object.defineProperty(watched, 'url', { value: url });
  return watched;
}

function watchedBody(body: ReadableStream<Uint8Array>, watcher: UpstreamWatcher): ReadableStream<Uint8Array> {
  const { meter } = watcher;
  const reader = body.getReader();
  let hasEnded = false;
  let isLeft = false;
  let passing = Promise.resolve();

  function end(): void {
    if (hasEnded) return;
    hasEnded = true;
    watcher.onEnd();
  }

  /** The next bytes to pass on; `undefined` at the end. */
  async function next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      watcher.onProgress();
      const passed = meter.write(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
      if (passed.length > 0) return plain(passed);
    }
  }

  async function passOn(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      const bytes = await next();
      if (isLeft) return;
      if (bytes !== undefined) return controller.enqueue(bytes);
      const kept = meter.end();
      if (kept.length > 0) controller.enqueue(plain(kept));
      controller.close();
      end();
    } catch (error) {
      if (isLeft) return;
      end();
      controller.error(error);
    }
  }

  async function readOn(): Promise<void> {
    try {
      while ((await next()) !== undefined);
    } catch {
      // What came until now is charged.
    }
    end();
  }

  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        passing = passOn(controller);
        return passing;
      },
      async cancel(reason) {
        isLeft = true;
        if (watcher.drains()) {
          void passing.then(readOn);
          return;
        }
        end();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** Readers know bytes by the methods of `Uint8Array`, some of which a `Buffer` has otherwise. */
function plain({ buffer, byteOffset, byteLength }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
