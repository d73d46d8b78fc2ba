import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type SsePiece, SseSplitter } from '../../../lib/usage/sse.ts';

const maxFrameBytes = 1000;

function split(...chunks: readonly (Buffer | string)[]): SsePiece[] {
  const pieces: SsePiece[] = [];
  const splitter = new SseSplitter(maxFrameBytes, (piece) => pieces.push(piece));
  for (const chunk of chunks) splitter.push(Buffer.from(chunk));
  splitter.flush();
  return pieces;
}

function events(pieces: readonly SsePiece[]): { event: string; data: string }[] {
  return pieces.flatMap((piece) => (piece.kind === 'frame' ? [{ event: piece.event, data: piece.data }] : []));
}

function bytes(pieces: readonly SsePiece[]): Buffer {
  return Buffer.concat(pieces.map(({ raw }) => raw));
}

function eachByte(text: string): Buffer[] {
  return [...Buffer.from(text)].map((byte) => Buffer.from([byte]));
}

const stream = [
  '\uFEFFdata: {"text":"größer 🚀"}\n\n',
  'event: message\r\ndata: one\r\ndata:two\r\n\r\n',
  ': a comment\n\n',
  'event:done\rid: 7\rdata:  spaced\r\r',
  '\n',
  'data\nretry: 5\n\n',
  'data: [DONE]\n\n',
].join('');

const streamEvents = [
  { event: '', data: '{"text":"größer 🚀"}' },
  { event: 'message', data: 'one\ntwo' },
  { event: '', data: '' },
  { event: 'done', data: ' spaced' },
  { event: '', data: '' },
  { event: '', data: '[DONE]' },
];

describe('SseSplitter', () => {
  it('reads frames that end their lines by LF, CRLF or CR, after a byte order mark', () => {
    assert.deepEqual(
      events(split(stream)).filter(({ event, data }) => event !== '' || data !== ''),
      streamEvents.filter(({ event, data }) => event !== '' || data !== ''),
    );
  });

  it('gives a frame the bytes of its lines and of the blank line that ends it', () => {
    assert.deepEqual(
      split('data: a\n\n: ping\r\n\r\ndata: b\r\r').map(({ raw }) => raw.toString()),
      ['data: a\n\n', ': ping\r\n\r\n', 'data: b\r\r'],
    );
  });

  it('reads the same events and loses no byte wherever a stream is cut', () => {
    const whole = Buffer.from(stream);
    const named = (pieces: readonly SsePiece[]) => events(pieces).filter(({ event, data }) => event + data !== '');
    for (let cut = 0; cut <= whole.length; cut += 1) {
      const pieces = split(whole.subarray(0, cut), whole.subarray(cut));
      assert.deepEqual(named(pieces), named(split(whole)), `cut at ${cut}`);
      assert.deepEqual(bytes(pieces), whole);
    }
    assert.deepEqual(named(split(...eachByte(stream))), named(split(whole)));
  });

  it('loses no byte of any input, however it is cut', () => {
    const text = fc.array(fc.constantFrom('data: x', 'é🚀', '\n', '\r', '\r\n', '\n\n', '\r\n\r\n', ':'), {
      maxLength: 30,
    });
    const lengths = fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 40 });
    fc.assert(
      fc.property(text, lengths, (parts, cuts) => {
        const whole = Buffer.from(parts.join(''));
        const chunks: Buffer[] = [];
        let at = 0;
        for (const length of cuts) {
          chunks.push(whole.subarray(at, at + length));
          at += length;
        }
        assert.deepEqual(bytes(split(...chunks, whole.subarray(at))), whole);
      }),
    );
  });

  it('answers a frame as soon as its blank line has begun to end', () => {
    const pieces: string[] = [];
    const splitter = new SseSplitter(maxFrameBytes, ({ kind, raw }) => pieces.push(`${kind} ${raw}`));
    splitter.push(Buffer.from('data: a\r\n\r'));
    assert.deepEqual(pieces, ['frame data: a\r\n\r']);
    assert.equal(splitter.isHolding, false);
    splitter.push(Buffer.from('\ndata: b\r\n\r\n'));
    assert.deepEqual(pieces.slice(1), ['line_feed \n', 'frame data: b\r\n\r\n']);
  });

  it('does not take CRLF for two line ends when a chunk ends between them', () => {
    assert.deepEqual(events(split('data: a\r', '\ndata: b\r', '\n\r', '\n')), [{ event: '', data: 'a\nb' }]);
  });

  it('answers a last frame without a blank line at the end', () => {
    assert.deepEqual(events(split('data: a\n\ndata: b')), [
      { event: '', data: 'a' },
      { event: '', data: 'b' },
    ]);
  });

  it('passes a frame that is too long in fragments, and reads on after it', () => {
    const long = `data: ${'x'.repeat(5 * maxFrameBytes)}\n\n`;
    const text = `data: a\n\n${long}data: b\n\n`;
    for (const chunks of [[text], text.match(/[\s\S]{1,300}/g) ?? [], eachByte(text)]) {
      const pieces = split(...chunks);
      assert.deepEqual(events(pieces), [
        { event: '', data: 'a' },
        { event: '', data: 'b' },
      ]);
      assert.equal(bytes(pieces).toString(), text);
    }
  });

  it('holds no more than one frame may have', () => {
    const pieces: SsePiece[] = [];
    const splitter = new SseSplitter(maxFrameBytes, (piece) => pieces.push(piece));
    splitter.push(Buffer.alloc(maxFrameBytes, 'x'));
    assert.deepEqual([pieces.length, splitter.isHolding], [0, true]);
    splitter.push(Buffer.from('y'));
    assert.deepEqual(
      pieces.map(({ kind, raw }) => [kind, raw.length]),
      [['fragment', maxFrameBytes + 1]],
    );
    assert.equal(splitter.isHolding, false);
  });

  it('hands whole frames to skimming, in their turn, after the first of the stream', () => {
    const seen: string[] = [];
    const splitter = new SseSplitter(
      maxFrameBytes,
      ({ kind, raw }) => seen.push(`${kind} ${JSON.stringify(raw.toString())}`),
      (text, start) => {
        if (!text.startsWith('data: s', start) || text.indexOf('\n\n', start) < 0) return start;
        seen.push('skim');
        return text.indexOf('\n\n', start) + 2;
      },
    );
    splitter.push(Buffer.from('data: s1\n\ndata: s2\n\ndata: s3\n\ndata: x\n\ndata: s4\n'));
    splitter.push(Buffer.from('\ndata: s5\n\ndata: s6\n\n'));
    assert.deepEqual(seen, [
      'frame "data: s1\\n\\n"',
      'skim',
      'skim',
      'skimmed "data: s2\\n\\ndata: s3\\n\\n"',
      'frame "data: x\\n\\n"',
      'frame "data: s4\\n\\n"',
      'frame "data: s5\\n\\n"',
      'skim',
      'skimmed "data: s6\\n\\n"',
    ]);
  });
});
