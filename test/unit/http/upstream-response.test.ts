import assert from 'node:assert/strict';
import { watchedResponse } from '../../../lib/http/upstream-response.ts';
import { createMeter } from '../../../lib/usage/meter.ts';
import { eventually } from '../../support/eventually.ts';

describe('watchedResponse', () => {
  /** An answer whose bytes come when a test says so. */
  function upstream({ drains = false, injectedUsage = false } = {}) {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const seen = { ends: 0, progress: 0, cancelled: undefined as unknown };
    const body = new ReadableStream<Uint8Array>({
      start(started) {
        controller = started;
      },
      cancel(reason) {
        seen.cancelled = reason;
      },
    });
    const meter = createMeter({ format: 'openai-chat', contentType: 'text/event-stream', injectedUsage });
    const response = new Response(body, { status: 201, statusText: 'Made', headers: { 'x-own': '1' } });
    const watched = watchedResponse(response, {
      meter,
      onProgress() {
        seen.progress += 1;
      },
      onEnd() {
        seen.ends += 1;
      },
      drains: () => drains,
    });
    return {
      seen,
      meter,
      watched,
      send: (text: string) => controller?.enqueue(Buffer.from(text)),
      end: () => controller?.close(),
      fail: (error: Error) => controller?.error(error),
    };
  }

  const frame = (fields: object) => `data: ${JSON.stringify({ model: 'gpt-4o', ...fields })}\n\n`;
  const text = frame({ choices: [{ index: 0, delta: { content: 'Hi' } }] });
  const usage = frame({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 } });

  it('keeps status, headers and bytes, and ends once', async () => {
    const { watched, seen, send, end } = upstream();
    send(text);
    send(usage);
    end();
    assert.deepEqual([watched.status, watched.statusText, watched.headers.get('x-own')], [201, 'Made', '1']);
    assert.equal(await watched.text(), text + usage);
    assert.deepEqual(seen, { ends: 1, progress: 2, cancelled: undefined });
  });

  it('gives plain bytes, whatever they were read as', async () => {
    const { watched, send } = upstream();
    send(text);
    const { value } = (await watched.body?.getReader().read()) ?? {};
    assert.equal(Object.getPrototypeOf(value), Uint8Array.prototype);
  });

  it('keeps back the usage that nobody has asked for, wherever chunks are cut', async () => {
    const { watched, meter, send, end } = upstream({ injectedUsage: true });
    for (const byte of text + usage) send(byte);
    send('data: [DONE]\n\n');
    end();
    assert.equal(await watched.text(), `${text}data: [DONE]\n\n`);
    assert.equal((await meter.result()).usage?.inputTokens, 3);
  });

  it('ends when the upstream breaks off, and lets the reader know', async () => {
    const { watched, seen, send, fail } = upstream();
    const reader = watched.body?.getReader();
    send(text);
    await reader?.read();
    fail(new Error('reset'));
    await assert.rejects(async () => reader?.read(), { message: 'reset' });
    assert.equal(seen.ends, 1);
  });

  for (const isReading of [false, true]) {
    const when = isReading ? 'in the middle of a read' : 'between two reads';

    it(`passes on that its reader leaves ${when}, and ends`, async () => {
      const { watched, seen, send } = upstream();
      const reader = watched.body?.getReader();
      send(text);
      await reader?.read();
      const pending = isReading ? reader?.read() : undefined;
      await reader?.cancel('enough');
      await pending;
      assert.deepEqual(seen, { ends: 1, progress: 1, cancelled: 'enough' });
    });

    it(`reads on to the end where it drains and its reader leaves ${when}`, async () => {
      const { watched, meter, seen, send, end } = upstream({ drains: true });
      const reader = watched.body?.getReader();
      send(text);
      await reader?.read();
      const pending = isReading ? reader?.read() : undefined;
      await reader?.cancel('left');
      await pending;
      send(text);
      send(usage);
      send('data: [DONE]\n\n');
      assert.equal(seen.ends, 0);
      end();
      await eventually(() => seen.ends === 1, 'The end');
      assert.deepEqual(seen, { ends: 1, progress: 4, cancelled: undefined });
      const { usage: told, complete } = await meter.result();
      assert.deepEqual([told?.inputTokens, complete], [3, true]);
    });

    it(`ends when what it drains breaks off, its reader having left ${when}`, async () => {
      const { watched, seen, send, fail } = upstream({ drains: true });
      const reader = watched.body?.getReader();
      send(text);
      await reader?.read();
      const pending = isReading ? reader?.read() : undefined;
      await reader?.cancel('left');
      await pending;
      fail(new Error('reset'));
      await eventually(() => seen.ends === 1, 'The end');
    });
  }

  it('ends at once where there is no body', () => {
    let ends = 0;
    const meter = createMeter({ format: 'openai-chat' });
    const response = new Response(null, { status: 204 });
    const onEnd = () => {
      ends += 1;
    };
    const watched = watchedResponse(response, { meter, onProgress: assert.fail, onEnd, drains: () => true });
    assert.deepEqual([watched, ends], [response, 1]);
  });
});
