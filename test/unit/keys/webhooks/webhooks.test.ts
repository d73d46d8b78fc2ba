import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { memoryStore } from '../../../../lib/stores/memory/memory-store.ts';
import { eventually } from '../../../support/eventually.ts';
import { type Listening, listen } from '../../../support/listen.ts';
import { createKey, spend, testService } from '../../../support/service.ts';

const secret = 'sixteen characters or more';

interface Received {
  readonly path: string | undefined;
  readonly id: string;
  readonly body: string;
}

/** A receiver that believes what is signed, and answers with a status for each path. */
async function receiver(statusOf: (path: string) => number) {
  const received: Received[] = [];
  const server = await listen(async (req, res) => {
    const body = await text(req);
    const [, t, v1] = /^t=(\d+),v1=(\w+)$/.exec(`${req.headers['x-llm-keys-signature']}`) ?? [];
    const isSigned = v1 === createHmac('sha256', secret).update(`${t}.${body}`).digest('hex');
    if (isSigned) received.push({ path: req.url, id: `${req.headers['x-llm-keys-event-id']}`, body });
    res.writeHead(isSigned ? statusOf(req.url ?? '') : 401).end();
  });
  return { server, received };
}

describe('createVirtualKeys: webhooks', () => {
  const open: Listening[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((server) => server.close()));
  });

  it('get each alert that they ask for, as it is listed, once for all processes', async () => {
    const { server, received } = await receiver(() => 204);
    open.push(server);
    const webhooks = [
      { url: `${server.url}/all`, secret, allowPrivate: true },
      { url: `${server.url}/exceeded`, secret, allowPrivate: true, events: ['budget.exceeded'] as const },
    ];
    const store = memoryStore();
    const one = testService({ store, webhooks });
    const other = testService({ store, webhooks, clock: one.clock });
    const { key } = await createKey(one, { maxBudget: 10, ownerId: 'Zoë ✓' });
    await spend(one.keys, key.id, 8);
    await spend(other.keys, key.id, 0.5);
    await spend(other.keys, key.id, 2);
    await Promise.all([one, other].map(({ keys }) => keys.close()));
    const { items } = await one.keys.alerts();
    const byPath = (path: string) => received.filter((request) => request.path === path);
    const listed = items.map((alert) => JSON.stringify(alert)).sort();
    assert.deepEqual(
      byPath('/all')
        .map(({ body }) => body)
        .sort(),
      listed,
    );
    assert.deepEqual(
      byPath('/exceeded').map(({ id, body }) => [id, JSON.parse(body)]),
      items.filter(({ type }) => type === 'budget.exceeded').map((alert) => [alert.id, alert]),
    );
    assert.equal(items.length, 2);
  });

  it('are told in health, where there are any', async () => {
    const { server } = await receiver((path) => (path === '/ok' ? 200 : 500));
    open.push(server);
    const webhooks = ['/ok', '/bad'].map((path) => ({ url: server.url + path, secret, allowPrivate: true }));
    const service = testService({ webhooks });
    const { keys } = service;
    const store = { name: 'memory', state: 'up' };
    assert.deepEqual(await keys.health(), { store, webhooks: { pending: 0, dropped: 0, failing: 0 } });
    const { key } = await createKey(service, { maxBudget: 1 });
    await spend(keys, key.id, 1);
    await eventually(async () => (await keys.health()).webhooks?.failing === 1);
    await eventually(async () => (await keys.health()).webhooks?.pending === 1);
    await keys.close();
    assert.deepEqual(await keys.health(), { store, webhooks: { pending: 0, dropped: 1, failing: 1 } });
    assert.deepEqual(
      service.log.lines.map((line) => line.replace(/:\d+/, '')),
      [
        'warn: The webhook of 127.0.0.1 answers 500; what it does not take is posted again for 24 hours',
        'error: The webhook of 127.0.0.1 is left while the service closes; alerts for it are dropped and counted in health()',
      ],
    );
  });

  it('may be no private address unless that is allowed', () => {
    assert.throws(() => testService({ webhooks: [{ url: 'http://127.0.0.1/', secret }] }), {
      name: 'TypeError',
      message: /^createVirtualKeys: webhooks\[0\]\.url is a private address/,
    });
  });
});
