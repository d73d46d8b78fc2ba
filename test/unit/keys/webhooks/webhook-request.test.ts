import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import type { WebhookTarget } from '../../../../lib/keys/webhooks/webhook-options.ts';
import {
  createWebhookRequest,
  type Lookup,
  publicOnly,
  webhookSignature,
} from '../../../../lib/keys/webhooks/webhook-request.ts';
import { type Listening, listen } from '../../../support/listen.ts';

const secret = 'sixteen characters or more';
const message = { id: 'alert-1', body: '{"type":"budget.warning","at":"Zürich"}' };
const never = new AbortController().signal;

function targetOf(url: string, allowPrivate = true): WebhookTarget {
  return { url: new URL(url), secret, allowPrivate, events: new Set(['budget.warning']) };
}

/** A resolver that gives these answers in turn. */
function resolver(...answers: readonly (readonly string[])[]): Lookup {
  let asked = 0;
  return (_hostname, _options, callback) => {
    const addresses = answers[Math.min(asked, answers.length - 1)] ?? [];
    asked += 1;
    callback(
      null,
      addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
}

describe('createWebhookRequest', () => {
  const open: Listening[] = [];
  const requests: { method: string | undefined; headers: IncomingHttpHeaders; body: string }[] = [];

  /** A server that notes what it is sent and answers with this status. */
  async function receiver(status: number, headers: { readonly [name: string]: string } = {}): Promise<Listening> {
    const server = await listen(async (req, res) => {
      requests.push({ method: req.method, headers: req.headers, body: await text(req) });
      res.writeHead(status, headers).end('ok');
    });
    open.push(server);
    return server;
  }

  afterEach(async () => {
    requests.length = 0;
    await Promise.all(open.splice(0).map((server) => server.close()));
  });

  const nowMs = Date.UTC(2026, 0, 15, 12) + 999;
  const post = createWebhookRequest({ now: () => nowMs, timeoutMs: 5000 });

  it('posts JSON with the id of the alert and a signature over time and body', async () => {
    const { url } = await receiver(202);
    assert.equal(await post(targetOf(`${url}/hook?token=1`), message, never), 202);
    const [received] = requests;
    assert.equal(received?.method, 'POST');
    assert.equal(received.body, message.body);
    assert.equal(received.headers['content-type'], 'application/json');
    assert.equal(received.headers['x-llm-keys-event-id'], 'alert-1');
    const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(`${received.headers['x-llm-keys-signature']}`) ?? [];
    assert.equal(t, '1768478400');
    assert.equal(v1, createHmac('sha256', secret).update(`${t}.${received.body}`).digest('hex'));
  });

  it('follows no redirect', async () => {
    const elsewhere = await receiver(200);
    const { url } = await receiver(307, { location: elsewhere.url });
    assert.equal(await post(targetOf(url), message, never), 307);
    assert.equal(requests.length, 1);
  });

  it('answers with the status whatever the rest of the answer does', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf');
      socket.once('data', () => socket.resetAndDestroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    assert.equal(await post(targetOf(`http://127.0.0.1:${port}`), message, never), 200);
    server.close();
  });

  it('gives up when it takes too long, and when it is told to', async () => {
    const silent = await listen(() => undefined);
    open.push(silent);
    const hasty = createWebhookRequest({ now: () => nowMs, timeoutMs: 20 });
    await assert.rejects(hasty(targetOf(silent.url), message, never));
    await assert.rejects(post(targetOf(silent.url), message, AbortSignal.abort()), { code: 'ABORT_ERR' });
  });

  for (const addresses of [['127.0.0.1'], ['10.1.2.3'], ['169.254.169.254'], ['::1'], ['8.8.8.8', '192.168.0.1']]) {
    it(`connects to no name that resolves to ${addresses.join(' and ')}`, async () => {
      const { port } = new URL((await receiver(200)).url);
      const guarded = createWebhookRequest({ now: () => nowMs, timeoutMs: 5000, lookup: resolver(addresses) });
      const target = targetOf(`http://hooks.example.com:${port}`, false);
      await assert.rejects(guarded(target, message, never), { code: 'EPRIVATE' });
      assert.deepEqual(requests, []);
    });
  }

  it('judges a name anew each time that it connects', async () => {
    const { port } = new URL((await receiver(200)).url);
    const lookup = resolver([], ['127.0.0.1']);
    const target = targetOf(`http://hooks.example.com:${port}`, false);
    const guarded = createWebhookRequest({ now: () => nowMs, timeoutMs: 5000, lookup });
    await assert.rejects(guarded(target, message, never), /resolves to no address/);
    await assert.rejects(guarded(target, message, never), /resolves to a private address/);
    assert.deepEqual(requests, []);
  });

  it('tells a name that does not resolve', async () => {
    const lookup: Lookup = (_hostname, _options, callback) =>
      callback(Object.assign(new Error('not found'), { code: 'ENOTFOUND' }), []);
    const guarded = createWebhookRequest({ now: () => nowMs, timeoutMs: 5000, lookup });
    const target = targetOf('https://hooks.example.com', false);
    await assert.rejects(guarded(target, message, never), { code: 'ENOTFOUND' });
    const empty = createWebhookRequest({ now: () => nowMs, timeoutMs: 5000, lookup: resolver([]) });
    await assert.rejects(empty(target, message, never), /resolves to no address/);
  });
});

describe('publicOnly', () => {
  const addresses = ['2001:4860:4860::8888', '8.8.8.8'];

  it('gives a socket the addresses that were looked at, all of them or the first, as it asks', () => {
    const answers: unknown[] = [];
    const lookup = publicOnly(resolver(addresses));
    lookup('hooks.example.com', { all: true }, (...answer) => answers.push(answer));
    lookup('hooks.example.com', {}, (...answer) => answers.push(answer));
    assert.deepEqual(answers, [
      [null, addresses.map((address, at) => ({ address, family: at === 0 ? 6 : 4 }))],
      [null, addresses[0], 6],
    ]);
  });

  it('asks for the family that the socket wants', () => {
    const asked: unknown[] = [];
    const lookup = publicOnly((_hostname, options, callback) => {
      asked.push(options);
      callback(null, []);
    });
    lookup('hooks.example.com', { family: 4, hints: 32 }, () => undefined);
    lookup('hooks.example.com', {}, () => undefined);
    assert.deepEqual(asked, [{ family: 4, hints: 32, all: true }, { all: true }]);
  });
});

describe('webhookSignature', () => {
  it('is another one for another time, body or secret', () => {
    const signatures = [
      webhookSignature(secret, 1, 'a'),
      webhookSignature(secret, 2, 'a'),
      webhookSignature(secret, 1, 'b'),
      webhookSignature(`${secret}!`, 1, 'a'),
    ];
    assert.equal(new Set(signatures).size, 4);
    // Computed with openssl dgst -sha256 -hmac 'sixteen characters or more'.
    assert.equal(signatures[0], 't=1,v1=d643cc8345880c6db0f347bf1ba5def1682372f3eb9c73077efd041783fafb2e');
  });
});
