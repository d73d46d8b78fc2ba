import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { createWebhookQueue } from '../../../../lib/keys/webhooks/webhook-queue.ts';
import type { PostWebhook } from '../../../../lib/keys/webhooks/webhook-request.ts';
import { manualScheduler } from '../../../support/scheduler.ts';
import { testLog } from '../../../support/service.ts';

const secondMs = 1000;
const hourMs = 3_600_000;

const target = {
  url: new URL('https://hooks.example.com/secret-path?token=secret'),
  secret: 'sixteen characters or more',
  events: new Set(['budget.warning'] as const),
  allowPrivate: false,
};

/** A queue whose target answers as the test says, with the ids and times of all that was posted to it. */
function setUp(answer: (id: string) => number | Promise<number>, random = 1) {
  const scheduler = manualScheduler();
  const logger = testLog();
  const posted: [id: string, atMs: number][] = [];
  let together = 0;
  const post: PostWebhook = async (_target, { id }, signal) => {
    posted.push([id, scheduler.now()]);
    together += 1;
    assert.equal(together, 1, 'one at a time');
    const left = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')));
    });
    try {
      return await Promise.race([answer(id), left]);
    } finally {
      together -= 1;
    }
  };
  const queue = createWebhookQueue({ target, post, scheduler, logger, random: () => random });
  const push = (...ids: string[]) => ids.forEach((id) => void queue.push({ id, body: '{}' }));
  return { queue, push, posted, scheduler, log: logger.lines };
}

describe('createWebhookQueue', () => {
  it('posts what it is given at once, one by one in its order, and each once when it is taken', async () => {
    const { queue, push, posted, scheduler, log } = setUp(() => 204);
    push('a', 'b', 'c');
    assert.deepEqual(queue.state(), { pending: 3, dropped: 0, isFailing: false });
    await scheduler.advance(hourMs);
    assert.deepEqual(posted, [
      ['a', 0],
      ['b', 0],
      ['c', 0],
    ]);
    assert.deepEqual(queue.state(), { pending: 0, dropped: 0, isFailing: false });
    assert.deepEqual(log, []);
  });

  for (const [failure, answer, words] of [
    ['500', () => 500, 'answers 500'],
    ['a redirect', () => 302, 'answers 302'],
    ['400', () => 400, 'answers 400'],
    ['no answer', () => Promise.reject(new Error('at 10.0.0.1')), 'cannot be reached (no answer)'],
    [
      'a refused connection',
      () => Promise.reject(Object.assign(new Error('at 10.0.0.1'), { code: 'ECONNREFUSED' })),
      'cannot be reached (ECONNREFUSED)',
    ],
    [
      'a private address',
      () => Promise.reject(Object.assign(new Error('at 10.0.0.1'), { code: 'EPRIVATE' })),
      'is at a private address',
    ],
  ] as const) {
    it(`posts again after ${failure}, and says once that it fails, without path or secret`, async () => {
      let fails = true;
      const { queue, push, posted, scheduler, log } = setUp(async () => (fails ? answer() : 200));
      push('a');
      await scheduler.advance(10 * secondMs);
      assert.deepEqual(queue.state(), { pending: 1, dropped: 0, isFailing: true });
      fails = false;
      await scheduler.advance(10 * secondMs);
      assert.deepEqual(posted, [
        ['a', 0],
        ['a', secondMs],
        ['a', 3 * secondMs],
        ['a', 7 * secondMs],
        ['a', 15 * secondMs],
      ]);
      assert.deepEqual(queue.state(), { pending: 0, dropped: 0, isFailing: false });
      assert.deepEqual(log, [
        `warn: The webhook of hooks.example.com ${words}; what it does not take is posted again for 24 hours`,
      ]);
    });
  }

  it('waits between half of the delay and the whole, at most 15 minutes', async () => {
    const { push, posted, scheduler } = setUp(() => 500, 0);
    push('a');
    await scheduler.advance(4 * hourMs);
    const waits = posted.slice(1).map(([, atMs], at) => (atMs - (posted[at]?.[1] ?? 0)) / secondMs);
    assert.deepEqual(waits.slice(0, 13), [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 450, 450, 450]);
  });

  it('lets one that is refused hold up none behind it', async () => {
    const { push, posted, scheduler } = setUp((id) => (id === 'bad' ? 400 : 200));
    push('bad', 'a', 'b');
    await scheduler.advance(0);
    assert.deepEqual(
      posted.map(([id]) => id),
      ['bad', 'a', 'b'],
    );
  });

  it('loses nothing of its thousand while the target fails for an hour, and says what it drops', async () => {
    let fails = true;
    const { queue, push, posted, scheduler, log } = setUp(() => (fails ? 503 : 200));
    const ids = Array.from({ length: 1005 }, (_, at) => `${at}`);
    push(...ids);
    assert.deepEqual(queue.state(), { pending: 1000, dropped: 5, isFailing: false });
    await scheduler.advance(hourMs);
    assert.deepEqual(queue.state(), { pending: 1000, dropped: 5, isFailing: true });
    fails = false;
    const before = posted.length;
    await scheduler.advance(hourMs / 4);
    const delivered = posted.slice(before).map(([id]) => id);
    assert.deepEqual(new Set(delivered), new Set(ids.slice(0, 1000)));
    assert.equal(delivered.length, 1000);
    assert.deepEqual(queue.state(), { pending: 0, dropped: 5, isFailing: false });
    assert.deepEqual(log, [
      'error: The webhook of hooks.example.com has 1000 alerts waiting; alerts for it are dropped and counted in health()',
      'warn: The webhook of hooks.example.com answers 503; what it does not take is posted again for 24 hours',
    ]);
  });

  it('drops what was not taken for 24 hours', async () => {
    const { queue, push, posted, scheduler, log } = setUp(() => 500);
    push('a');
    await scheduler.advance(24 * hourMs - 1);
    assert.deepEqual(queue.state(), { pending: 1, dropped: 0, isFailing: true });
    await scheduler.advance(1);
    assert.deepEqual(posted.at(-1), ['a', 24 * hourMs]);
    assert.deepEqual(queue.state(), { pending: 0, dropped: 1, isFailing: true });
    assert.match(log[1] ?? '', /^error: The webhook of hooks.example.com has failed for 24 hours; alerts/);
  });

  it('gives a target up that says it is gone, with all that waits for it and comes later', async () => {
    const { queue, push, posted, scheduler, log } = setUp(() => 410);
    push('a', 'b');
    await scheduler.advance(hourMs);
    push('c');
    await scheduler.advance(hourMs);
    assert.deepEqual(posted, [['a', 0]]);
    assert.deepEqual(queue.state(), { pending: 0, dropped: 3, isFailing: true });
    assert.deepEqual(log, [
      'error: The webhook of hooks.example.com answers 410 and is given up; alerts for it are dropped and counted in health()',
    ]);
    await queue.close(secondMs);
  });

  it('closes when everything was tried once, and drops what would have to be tried again', async () => {
    const { queue, push, posted, scheduler, log } = setUp((id) => (id === 'bad' ? 500 : 200));
    push('bad');
    await scheduler.advance(0);
    push('a', 'b');
    await queue.close(5 * secondMs);
    assert.deepEqual(
      posted.map(([id]) => id),
      ['bad', 'a', 'b'],
    );
    assert.deepEqual(queue.state(), { pending: 0, dropped: 1, isFailing: false });
    assert.match(log.at(-1) ?? '', /^error: The webhook of hooks.example.com is left while the service closes/);
    await scheduler.advance(hourMs);
    assert.equal(posted.length, 3);
  });

  it('waits no longer than it was told when it closes, and aborts what is under way', async () => {
    const { queue, push, posted, scheduler } = setUp(() => new Promise(() => undefined));
    push('a', 'b');
    let isClosed = false;
    const closed = queue.close(5 * secondMs).then(() => {
      isClosed = true;
    });
    await scheduler.advance(5 * secondMs - 1);
    assert.equal(isClosed, false);
    await scheduler.advance(1);
    await closed;
    await turn();
    assert.deepEqual(posted, [['a', 0]]);
    assert.deepEqual(queue.state(), { pending: 0, dropped: 2, isFailing: false });
  });
});
