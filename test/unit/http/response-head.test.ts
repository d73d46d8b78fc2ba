import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { beforeHead } from '../../../lib/http/response-head.ts';
import { exchange } from '../../support/exchange.ts';
import { listen } from '../../support/listen.ts';

/** The answer of a handler on a bare server. */
async function answerOf(handle: (res: ServerResponse) => void) {
  const server = await listen((_req, res) => handle(res));
  try {
    return await exchange(server.url, { method: 'GET' });
  } finally {
    await server.close();
  }
}

describe('beforeHead', () => {
  const heads: readonly [title: string, write: (res: ServerResponse) => unknown][] = [
    ['setHeader alone', (res) => res.setHeader('x-a', 'handler').end()],
    ['an object', (res) => res.writeHead(201, { 'X-A': 'handler' }).end()],
    ['an object after a reason', (res) => res.writeHead(201, 'Made', { 'X-A': 'handler' }).end()],
    ['an object after no reason', (res) => res.writeHead(201, undefined, { 'X-A': 'handler' }).end()],
    ['names and values in turn', (res) => res.writeHead(201, ['X-A', 'handler']).end()],
    ['no headers at all', (res) => res.writeHead(201).end()],
    ['the first write', (res) => res.setHeader('x-a', 'handler').write('', () => res.end())],
    [
      'flushHeaders',
      (res) => {
        res.setHeader('x-a', 'handler').flushHeaders();
        res.end();
      },
    ],
  ];
  for (const [title, write] of heads) {
    it(`has the last word over a head sent by ${title}`, async () => {
      const { headers } = await answerOf((res) => {
        beforeHead(res, (changed) => changed.setHeader('x-a', 'ours'));
        write(res);
      });
      assert.equal(headers['x-a'], 'ours');
    });
  }

  it('runs changes once, in the order in which they were asked for, with what the handler set', async () => {
    const seen: unknown[] = [];
    await answerOf((res) => {
      beforeHead(res, ({ statusCode }) => seen.push(['first', statusCode, res.getHeader('x-a')]));
      beforeHead(res, () => seen.push(['second', res.getHeader('x-b')]));
      res.writeHead(202, { 'x-a': '1', 'x-b': ['2', '3'] });
      res.write('x');
      res.end();
    });
    assert.deepEqual(seen, [
      ['first', 202, '1'],
      ['second', ['2', '3']],
    ]);
  });

  it('keeps status, reason and repeated headers as they were given', async () => {
    const { status, headers } = await answerOf((res) => {
      beforeHead(res, () => undefined);
      res.setHeader('x-old', 'replaced');
      res.writeHead(299, 'Odd', ['set-cookie', 'a=1', 'x-old', 'new', 'Set-Cookie', 'b=2']);
      res.end();
    });
    assert.deepEqual([status, headers['set-cookie'], headers['x-old']], [299, ['a=1', 'b=2'], 'new']);
  });

  it('lets the response itself say that its head was sent already', async () => {
    const codes: unknown[] = [];
    await answerOf((res) => {
      beforeHead(res, () => undefined);
      res.writeHead(200);
      try {
        res.writeHead(500, { 'x-late': '1' });
      } catch (error) {
        codes.push((error as { code?: string }).code);
      }
      res.end();
    });
    assert.deepEqual(codes, ['ERR_HTTP_HEADERS_SENT']);
  });
});
