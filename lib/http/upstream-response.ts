import type { Meter } from '../usage/meter.ts';

/** What the reading of an upstream's answer comes to. */
export interface UpstreamWatcher {
  readonly meter: Meter;
  /** Bytes have come. */
  readonly onProgress: () => void;
  /** The body is complete, broken off, or left by its reader. Called once. */
  readonly onEnd: () => void;
  /** How long an answer that its reader has left is read on for its usage; 0: not at all. */
  readonly drainMs: number;
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

  function end(): void {
    if (hasEnded) return;
    hasEnded = true;
    watcher.onEnd();
  }

  /** The next bytes to pass on; `undefined` at the end. */
  async function next(): Promise<Buffer | undefined> {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      watcher.onProgress();
      const passed = meter.write(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
      if (passed.length > 0) return passed;
    }
  }

  async function drain(): Promise<void> {
    const stop = setTimeout(() => void reader.cancel().catch(() => undefined), watcher.drainMs);
    try {
      while ((await next()) !== undefined);
    } catch {
      // What came until now is charged.
    } finally {
      clearTimeout(stop);
      end();
    }
  }

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const bytes = await next();
          if (bytes !== undefined) return controller.enqueue(bytes);
          const kept = meter.end();
          if (kept.length > 0) controller.enqueue(kept);
          controller.close();
          end();
        } catch (error) {
          end();
          controller.error(error);
        }
      },
      async cancel(reason) {
        if (watcher.drainMs > 0) return void drain();
        end();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
