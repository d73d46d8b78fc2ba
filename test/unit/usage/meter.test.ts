import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import fc from 'fast-check';
import { createMeter, type MeterOptions, type MeterResult } from '../../../lib/usage/meter.ts';

const eventStream = 'text/event-stream; charset=utf-8';

interface Passed {
  /** What came out of each write, and of the end. */
  readonly out: readonly Buffer[];
  readonly text: string;
  readonly result: MeterResult;
}

async function pass(options: MeterOptions, ...chunks: readonly (Buffer | string)[]): Promise<Passed> {
  const meter = createMeter(options);
  const out = chunks.map((chunk) => meter.write(Buffer.from(chunk)));
  out.push(meter.end());
  return { out, text: Buffer.concat(out).toString(), result: await meter.result() };
}

function frame(event: object | string, lineEnd = '\n'): string {
  return `data: ${typeof event === 'string' ? event : JSON.stringify(event)}${lineEnd}${lineEnd}`;
}

function delta(content: string, rest: object = { usage: null }): object {
  const choices = [{ index: 0, delta: { content }, logprobs: null, finish_reason: null }];
  return { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o', choices, ...rest };
}

const told = { prompt_tokens: 12, completion_tokens: 34, total_tokens: 46 };
const toldUsage = { inputTokens: 12, outputTokens: 34, cacheReadTokens: 0, cacheWriteTokens: 0 };
const usageChunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', model: 'gpt-4o', choices: [], usage: told };
const reported: MeterResult = {
  usage: toldUsage,
  seen: { outputTokens: 0 },
  model: 'gpt-4o',
  complete: true,
  error: false,
};

const chat = { format: 'openai-chat', contentType: eventStream } as const;
const stripping = { ...chat, injectedUsage: true } as const;

function chatStream(lineEnd: string): { whole: string; kept: string; injected: string } {
  const before = `\uFEFF: welcome${lineEnd}${lineEnd}${frame(delta('größer 🚀'), lineEnd)}${frame(delta('"}\n'), lineEnd)}`;
  const injected = frame(usageChunk, lineEnd);
  const after = frame('[DONE]', lineEnd);
  return { whole: before + injected + after, kept: before + after, injected };
}

describe('createMeter', () => {
  describe('of an event stream', () => {
    it('passes every chunk on as it is, and reads the usage', async () => {
      const { whole } = chatStream('\n');
      const chunks = [...Buffer.from(whole)].map((byte) => Buffer.from([byte]));
      const { out, result } = await pass(chat, ...chunks);
      assert.deepEqual(out, [...chunks, Buffer.alloc(0)]);
      assert.deepEqual(result, reported);
    });

    it('tells what was seen of a stream that breaks off', async () => {
      const { result } = await pass(chat, frame(delta('Hello')), frame(delta(' there')));
      assert.deepEqual(result, {
        usage: null,
        seen: { outputTokens: 3 },
        model: 'gpt-4o',
        complete: false,
        error: false,
      });
    });

    it('sees the same output in any text, escaped or not', async () => {
      const texts = fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { minLength: 1, maxLength: 5 });
      await fc.assert(
        fc.asyncProperty(texts, async (parts) => {
          const { result } = await pass(chat, ...parts.map((part) => frame(delta(part))));
          const bytes = parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
          assert.equal(result.seen.outputTokens, Math.ceil(bytes / 4));
        }),
        { numRuns: 50 },
      );
    });

    it('sees the second choice of a chunk, and usage beside a choice', async () => {
      const first = { index: 0, delta: { content: 'four' } };
      const second = { index: 1, delta: { content: 'four' } };
      const { result } = await pass(chat, frame(delta('four')), frame({ choices: [first, second] }));
      assert.equal(result.seen.outputTokens, 3);
      const beside = await pass(chat, frame(delta('four')), frame(delta('four', { usage: told })));
      assert.deepEqual(beside.result.usage, toldUsage);
      const before = await pass(chat, frame(delta('four')), frame({ usage: told, ...delta('four', {}) }));
      assert.deepEqual(before.result.usage, toldUsage);
    });

    it('notices an error in the middle, in an event that also has text', async () => {
      const error = { message: 'overloaded' };
      for (const failed of [
        { error },
        { error: 'overloaded' },
        delta('Hi', { error }),
        { error, ...delta('Hi', {}) },
      ]) {
        const { result } = await pass(chat, frame(delta('Hi')), frame(failed));
        assert.deepEqual([result.error, result.complete], [true, false]);
      }
    });

    it('reads named events of Anthropic', async () => {
      const start = {
        type: 'message_start',
        message: { model: 'claude-sonnet-4', usage: { input_tokens: 9, output_tokens: 1 } },
      };
      const stream = `event: message_start\n${frame(start)}event: message_delta\n${frame({ type: 'message_delta', usage: { output_tokens: 5 } })}event: message_stop\n${frame({ type: 'message_stop' })}`;
      const { text, result } = await pass({ format: 'anthropic-messages', contentType: eventStream }, stream);
      assert.equal(text, stream);
      assert.deepEqual(result, {
        ...reported,
        usage: { ...toldUsage, inputTokens: 9, outputTokens: 5 },
        model: 'claude-sonnet-4',
      });
    });

    it('reads an event of megabytes, such as one that repeats an image', async () => {
      const image = {
        type: 'image_generation.completed',
        b64_json: 'A'.repeat(3_000_000),
        usage: { input_tokens: 12, output_tokens: 34 },
      };
      const { result } = await pass({ format: 'openai-images', contentType: eventStream }, frame(image));
      assert.deepEqual(result, { ...reported, model: null });
    });

    it('passes an event on that is too long to be read, says so, and reads what follows', async () => {
      const chunks = [frame('x'.repeat(9_000_000)), frame(usageChunk), frame('[DONE]')];
      const { text, result } = await pass(chat, ...chunks);
      assert.equal(text, chunks.join(''));
      assert.deepEqual(result, { ...reported, problem: 'too_large' });
    });

    it('ignores events that are not JSON', async () => {
      const { result } = await pass(chat, frame('not json'), frame('[1]'), frame(usageChunk), frame('[DONE]'));
      assert.deepEqual(result, reported);
    });
  });

  describe('with injected usage', () => {
    for (const [name, lineEnd] of [
      ['LF', '\n'],
      ['CRLF', '\r\n'],
      ['CR', '\r'],
    ] as const) {
      it(`leaves out exactly the injected chunk, wherever a stream with ${name} is cut`, async () => {
        const { whole, kept } = chatStream(lineEnd);
        const bytes = Buffer.from(whole);
        for (let cut = 0; cut <= bytes.length; cut += 1) {
          const { text, result } = await pass(stripping, bytes.subarray(0, cut), bytes.subarray(cut));
          assert.equal(text, kept, `cut at ${cut}`);
          assert.deepEqual(result, reported);
        }
        const byByte = await pass(stripping, ...[...bytes].map((byte) => Buffer.from([byte])));
        assert.equal(byByte.text, kept);
      });
    }

    it('leaves out nothing else and sees every text, for any mix of events, line ends and cuts', async () => {
      const lineEnds = fc.constantFrom('\n', '\n', '\r\n', '\r');
      const texts = fc.constantFrom('plain', 'größer 🚀', 'a "quote"', 'line\nend', '{', '}\n\n', '');
      const events = fc.oneof(
        fc.record({ text: texts, lineEnd: lineEnds }),
        fc.record({ text: fc.constantFrom(': comment', null), lineEnd: lineEnds }),
      );
      const cuts = fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 30 });
      await fc.assert(
        fc.asyncProperty(fc.array(events, { maxLength: 12 }), cuts, async (parts, lengths) => {
          let whole = '';
          let kept = '';
          let bytes = 0;
          for (const { text, lineEnd } of parts) {
            const isComment = text === ': comment';
            const event = isComment
              ? `: comment${lineEnd}${lineEnd}`
              : frame(text === null ? usageChunk : delta(text), lineEnd);
            whole += event;
            if (text !== null) kept += event;
            // Usage that is told covers all the output before it.
            bytes = text === null ? 0 : bytes + (isComment ? 0 : Buffer.byteLength(text));
          }
          const chunks: Buffer[] = [];
          let rest = Buffer.from(whole);
          for (const length of lengths) {
            chunks.push(rest.subarray(0, length));
            rest = rest.subarray(length);
          }
          const { text, result } = await pass(stripping, ...chunks, rest);
          assert.equal(text, kept);
          assert.equal(result.seen.outputTokens, Math.ceil(bytes / 4));
        }),
        { numRuns: 300 },
      );
    });

    it('passes whole events on at once, and keeps back only an unfinished one', async () => {
      const [first, second] = [frame(delta('one')), frame(delta('two'))];
      const { out } = await pass(stripping, first, second.slice(0, 20), second.slice(20), 'data: unfinished');
      assert.deepEqual(
        out.map((bytes) => bytes.toString()),
        [first, '', second, '', 'data: unfinished'],
      );
    });

    it('passes on chunks without choices that are not the injected one', async () => {
      const others = [
        { choices: [], usage: null, prompt_filter_results: [{}] },
        { choices: [], usage: told, moderation: { flagged: false } },
        { choices: [], usage: told, error: { message: 'no' } },
        delta('last', { usage: told }),
      ];
      const stream = others.map((event) => frame(event)).join('');
      assert.equal((await pass(stripping, stream)).text, stream);
    });

    it('leaves out an injected chunk that ends the stream without a blank line', async () => {
      const kept = frame(delta('one'));
      const { text, result } = await pass(stripping, `${kept}data: ${JSON.stringify(usageChunk)}`);
      assert.equal(text, kept);
      assert.deepEqual(result.usage, toldUsage);
    });

    it('passes an event of more than a mebibyte on before it ends, and goes on after it', async () => {
      const meter = createMeter(stripping);
      const long = Buffer.from(frame('x'.repeat(3_000_000)));
      assert.equal(meter.write(long.subarray(0, 1_500_000)).length, 1_500_000);
      assert.equal(meter.write(long.subarray(1_500_000)).length, long.length - 1_500_000);
      assert.equal(meter.write(Buffer.from(frame(usageChunk))).length, 0);
      assert.equal(meter.end().length, 0);
    });

    it('leaves a JSON body and other formats as they are', async () => {
      const body = JSON.stringify({ choices: [], usage: told });
      assert.equal((await pass({ ...stripping, contentType: 'application/json' }, body)).text, body);
      const stream = frame(usageChunk);
      assert.equal((await pass({ ...stripping, format: 'openai-responses' }, stream)).text, stream);
    });
  });

  describe('of a body', () => {
    const json = { format: 'openai-chat', contentType: 'application/json; charset=utf-8' } as const;
    const body = JSON.stringify({ ...usageChunk, choices: [{ message: { content: 'größer' } }] });

    it('reads it whole, however it is cut', async () => {
      for (let cut = 0; cut <= Buffer.byteLength(body); cut += 1) {
        const bytes = Buffer.from(body);
        const { text, result } = await pass(json, bytes.subarray(0, cut), bytes.subarray(cut));
        assert.equal(text, body);
        assert.deepEqual(result, reported);
      }
    });

    it('reads it in one piece, as text or as bytes, and then takes no more', async () => {
      for (const whole of [body, Buffer.from(body)]) {
        const meter = createMeter(json);
        assert.equal(meter.readWhole(whole), true);
        assert.equal(meter.write(Buffer.from('more')).toString(), 'more');
        assert.deepEqual(await meter.result(), reported);
      }
    });

    it('is asked for it in pieces where it has begun, is encoded, or may be no JSON', () => {
      const begun = createMeter(json);
      begun.write(Buffer.from(body.slice(0, 5)));
      const others = [{ contentType: undefined }, { contentType: 'text/event-stream' }, { contentEncoding: 'gzip' }];
      for (const meter of [begun, ...others.map((other) => createMeter({ ...json, ...other }))]) {
        assert.equal(meter.readWhole(body), false);
      }
    });

    it('passes one on in one piece that is too large to be read', async () => {
      const meter = createMeter(json);
      assert.equal(meter.readWhole(JSON.stringify('x'.repeat(8 * 1024 * 1024))), true);
      assert.equal((await meter.result()).problem, 'too_large');
    });

    it('says so when it breaks off', async () => {
      const { result } = await pass(json, body.slice(0, -1));
      assert.deepEqual([result.usage, result.complete, result.problem], [null, false, 'not_json']);
    });

    it('passes a body on that is too large to be kept', async () => {
      const chunks = ['{"data":"', 'x'.repeat(9_000_000), `","usage":${JSON.stringify(told)}}`];
      const { text, result } = await pass(json, ...chunks);
      assert.equal(text, chunks.join(''));
      assert.deepEqual([result.usage, result.complete, result.problem], [null, false, 'too_large']);
    });

    it('reads the array that Gemini streams without alt=sse, and what came of it when it breaks off', async () => {
      const usageMetadata = (candidatesTokenCount: number) => ({ promptTokenCount: 12, candidatesTokenCount });
      const chunks = [
        { candidates: [{ content: { parts: [{ text: 'Hello } ' }] } }], usageMetadata: usageMetadata(3) },
        { candidates: [{ content: { parts: [{ text: 'there' }] } }], usageMetadata: usageMetadata(34) },
      ];
      const text = `[${chunks.map((chunk) => JSON.stringify(chunk, null, 2)).join('\n,\n')}\n]`;
      const gemini = { format: 'gemini-generate', contentType: 'application/json' } as const;
      assert.deepEqual((await pass(gemini, text)).result, { ...reported, model: null });
      const broken = await pass(gemini, text.slice(0, -20));
      assert.deepEqual(broken.result.usage, { ...toldUsage, outputTokens: 3 });
      assert.deepEqual([broken.result.complete, broken.result.problem], [false, 'not_json']);
    });

    it('does not take a response that is made in the background for complete', async () => {
      const background = JSON.stringify({ object: 'response', status: 'queued', usage: null, output: [] });
      const { result } = await pass({ format: 'openai-responses', contentType: 'application/json' }, background);
      assert.deepEqual([result.complete, result.usage], [false, null]);
    });

    it('tells JSON and event streams apart by their first byte where there is no content type', async () => {
      const untyped = { format: 'openai-chat' } as const;
      assert.deepEqual((await pass(untyped, `\n ${body}`)).result, reported);
      assert.deepEqual((await pass(untyped, chatStream('\n').whole)).result, reported);
    });
  });

  describe('of an encoded response', () => {
    const { whole } = chatStream('\n');
    const encodings: [string, string, (text: string) => Buffer][] = [
      ['gzip', 'gzip', zlib.gzipSync],
      ['gzip by its old name', 'x-gzip', zlib.gzipSync],
      ['gzip in capitals', 'GZIP', zlib.gzipSync],
      ['deflate', 'deflate', zlib.deflateSync],
      ['deflate without its header', 'deflate', zlib.deflateRawSync],
      ['brotli', 'br', zlib.brotliCompressSync],
    ];
    for (const [name, contentEncoding, encode] of encodings) {
      it(`reads ${name} and passes its bytes on, injected usage included`, async () => {
        const encoded = encode(whole);
        const { out, result } = await pass(
          { ...stripping, contentEncoding },
          ...[...encoded].map((b) => Buffer.from([b])),
        );
        assert.deepEqual(Buffer.concat(out), encoded);
        assert.deepEqual(result, reported);
      });
    }

    it('reads what came of a gzip stream that breaks off', async () => {
      const gzip = zlib.createGzip();
      const written: Buffer[] = [];
      gzip.on('data', (bytes: Buffer) => written.push(bytes));
      gzip.write(frame(delta('Hello there')));
      await new Promise<void>((resolve) => gzip.flush(zlib.constants.Z_SYNC_FLUSH, resolve));
      const { result } = await pass({ ...chat, contentEncoding: 'gzip' }, ...written);
      gzip.destroy();
      assert.deepEqual(result, { ...reported, usage: null, seen: { outputTokens: 3 }, complete: false });
    });

    it('passes on bytes that are not what the encoding says', async () => {
      for (const contentEncoding of ['gzip', 'br', 'deflate']) {
        const { text, result } = await pass({ ...chat, contentEncoding }, 'not ', 'encoded');
        assert.equal(text, 'not encoded');
        assert.deepEqual([result.usage, result.complete, result.problem], [null, false, 'content_encoding']);
      }
    });

    it('passes on encodings that it does not know', async () => {
      const { text, result } = await pass({ ...chat, contentEncoding: 'gzip, br' }, whole);
      assert.equal(text, whole);
      assert.deepEqual([result.usage, result.problem], [null, 'content_encoding']);
    });

    it('takes identity for no encoding', async () => {
      assert.deepEqual((await pass({ ...chat, contentEncoding: 'identity' }, whole)).result, reported);
    });

    it('gives up on a small body that unfolds to gigabytes', async () => {
      const bomb = zlib.gzipSync(Buffer.alloc(70_000_000, frame('x'.repeat(1000))), { level: 1 });
      const { out, result } = await pass({ ...chat, contentEncoding: 'gzip' }, bomb);
      assert.deepEqual(Buffer.concat(out), bomb);
      assert.equal(result.problem, 'content_encoding');
    });
  });

  it('reads nothing of formats without usage, nor of other content types', async () => {
    const audio = Buffer.from([0xff, 0xfb, 0x90, 0x00]);
    const speech = await pass({ format: 'none', contentType: 'audio/mpeg' }, audio);
    assert.deepEqual(speech.out, [audio, Buffer.alloc(0)]);
    assert.equal(speech.result.problem, 'unmetered');
    const subtitles = await pass({ format: 'openai-audio', contentType: 'text/vtt' }, 'WEBVTT');
    assert.deepEqual([subtitles.text, subtitles.result.problem], ['WEBVTT', 'content_type']);
  });

  it('tells nothing of a response without a body', async () => {
    const { out, result } = await pass(chat);
    assert.deepEqual(out, [Buffer.alloc(0)]);
    assert.deepEqual(result, { ...reported, usage: null, model: null, complete: false });
  });

  it('ends once: later bytes pass unread, and the result stays', async () => {
    const meter = createMeter(stripping);
    meter.write(Buffer.from('data: kept back'));
    assert.equal(meter.end().toString(), 'data: kept back');
    assert.equal(meter.end().length, 0);
    const late = Buffer.from(frame(usageChunk));
    assert.equal(meter.write(late), late);
    assert.equal((await meter.result()).usage, null);
  });

  it('ends by itself when the result is asked for', async () => {
    const meter = createMeter(chat);
    meter.write(Buffer.from(`data: ${JSON.stringify(usageChunk)}`));
    assert.deepEqual((await meter.result()).usage, toldUsage);
  });
});
