import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { ErrorRequestHandler, Express } from 'express';
import { keysRouter } from '../../lib/http/router/keys-router.ts';
import { seededRandom } from '../../lib/testing/store-suite/random.ts';
import { priceBook } from '../../lib/usage/pricing.ts';
import { expressMajors, guardedApp, showError } from '../support/apps.ts';
import { testGateway } from '../support/gateway.ts';
import { answerChat } from '../support/handlers.ts';
import { listen } from '../support/listen.ts';
import { exchange, type RawAnswer } from '../support/raw-exchange.ts';
import { createKey, type TestService, testService } from '../support/service.ts';
import { usageLog } from '../support/usage-events.ts';
import { adminRequest, guardRequest, type HostileRequest, type Shape } from './hostile-requests.ts';
import { seedOf } from './seed.ts';

const requestsPerDoor = 4000;
const connectionsAtOnce = 16;
const requestsPerConnection = 8;

/** Somewhere to send requests to. */
interface Door {
  readonly port: number;
  readonly secret: string;
  /** Every text that somebody could read: answers, log lines, events, errors. */
  readonly texts: string[];
  readonly next: (random: () => number, secret: string) => HostileRequest;
  /** Waits for what is still going on, and adds what it told. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

const prices = priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } });

/** Remembers every error that gets past the package, and answers it as an app does. */
function appOf(app: Express, texts: string[]): Express {
  const remember: ErrorRequestHandler = (error, _req, _res, next) => {
    texts.push(String(error.stack));
    next(error);
  };
  return app.use(remember, showError);
}

async function doorOf(service: TestService, secret: string, app: Express, next: Door['next']): Promise<Door> {
  const texts = service.log.lines;
  const { events } = usageLog(service.keys);
  const server = await listen(appOf(app, texts));
  return {
    port: Number(new URL(server.url).port),
    secret,
    texts,
    next,
    async settle() {
      texts.push(JSON.stringify([events, await service.keys.audit({}, { limit: 100 })]));
    },
    close: () => server.close(),
  };
}

const doors: readonly (readonly [name: string, open: () => Promise<Door>])[] = [
  ...expressMajors.flatMap(([name, createApp]): [string, () => Promise<Door>][] => [
    [
      `llmGuard on ${name}`,
      async () => {
        const service = testService({ prices });
        const { secret } = await createKey(service, { maxBudget: 1000 });
        return doorOf(service, secret, guardedApp(createApp, { keys: service.keys }, answerChat), guardRequest);
      },
    ],
    [
      `keysRouter on ${name}`,
      async () => {
        const service = testService({ prices });
        const { key, secret } = await createKey(service);
        const authorize = () => ({ actorId: 'root', role: 'admin' as const });
        const app = createApp().use('/api-keys', keysRouter({ keys: service.keys, authorize }));
        app.use('/api-keys', (_req, res) => {
          res.status(404).json({ app: 'not found' });
        });
        return doorOf(service, secret, app, (random, own) => adminRequest(random, own, key.id));
      },
    ],
  ]),
  [
    'the gateway',
    async () => {
      const gateway = await testGateway();
      const { id, secret } = await gateway.createKey({ maxBudget: 1000 });
      const texts: string[] = [];
      return {
        port: Number(new URL(gateway.url).port),
        secret,
        texts,
        next: (random, own) =>
          random() < 0.7 ? guardRequest(random, own) : adminRequest(random, own, id, gateway.adminToken),
        async settle() {
          const { openRequests } = await gateway.settledBalance(secret);
          assert.equal(openRequests, 0);
          texts.push(gateway.output());
        },
        close: () => gateway.close(),
      };
    },
  ],
];

/** Which provider's, or whose, shape an error has. */
function shapeOf({ status, body }: RawAnswer): Shape | 'none' {
  if (body === '') return 'none';
  const { type, error, app } = JSON.parse(body);
  if (app !== undefined) return 'app';
  if (typeof error?.message !== 'string') return 'none';
  if (type === 'error' && typeof error.type === 'string') return 'anthropic';
  if (error.code === status && typeof error.status === 'string') return 'gemini';
  return typeof error.type === 'string' && typeof error.code === 'string' && 'param' in error ? 'openai' : 'none';
}

function told(request: HostileRequest | undefined): string {
  return JSON.stringify(request?.bytes.toString('latin1').slice(0, 400));
}

function checkAnswer(request: HostileRequest, answer: RawAnswer): void {
  const { bytes, shapes } = request;
  const what = `${told(request)} → ${answer.status} ${answer.body.slice(0, 300)}`;
  assert.ok(answer.status >= 200 && answer.status < 500, what);
  // Whatever got into a header must not have ended it.
  assert.ok(!answer.headers.has('injected') && !answer.headers.has('set-cookie'), what);
  if (answer.status < 400 || bytes.subarray(0, 5).toString() === 'HEAD ') return;
  assert.ok(shapes.includes(shapeOf(answer)), `not of ${shapes.join(', ')}: ${what}`);
}

/** Sends requests over a few connections at once: whole ones one after the other on one, broken ones each on its own. */
async function attack(door: Door, random: () => number): Promise<void> {
  const secrets = new Set([door.secret]);

  function remember({ status, headers, body }: RawAnswer): void {
    // A new secret is in the answer that it was made for, and nowhere else.
    const own = status < 300 ? /"secret":"([^"]+)"/.exec(body)?.[1] : undefined;
    if (own !== undefined) secrets.add(own);
    door.texts.push(JSON.stringify([[...headers], own === undefined ? body : body.replace(own, '')]));
  }

  async function converse(): Promise<void> {
    const requests = Array.from({ length: requestsPerConnection }, () => door.next(random, door.secret));
    const whole = requests.filter(({ isAlone }) => !isAlone);
    const answers = await exchange(door.port, Buffer.concat(whole.map(({ bytes }) => bytes)), {
      answers: whole.length,
    });
    assert.equal(answers.length, whole.length, `no answer to ${told(whole[answers.length])}`);
    for (const [at, answer] of answers.entries()) {
      const request = whole[at];
      if (request !== undefined) checkAnswer(request, answer);
      remember(answer);
    }
    for (const request of requests.filter(({ isAlone }) => isAlone)) {
      const { bytes, isBroken, isHead, leaves } = request;
      const [answer] = await exchange(door.port, bytes, { answers: 1, isHead, leaves });
      assert.ok(answer !== undefined || isBroken, `no answer to ${told(request)}`);
      if (answer === undefined) continue;
      checkAnswer(request, answer);
      remember(answer);
    }
  }

  let left = requestsPerDoor / requestsPerConnection;
  async function client(): Promise<void> {
    while (left > 0) {
      left -= 1;
      await converse();
    }
  }
  await Promise.all(Array.from({ length: connectionsAtOnce }, client));
  await door.settle();
  checkSecrecy(door, secrets);
}

function checkSecrecy(door: Door, secrets: ReadonlySet<string>): void {
  const hidden = new Set([...secrets].flatMap((secret) => [secret, createHash('sha256').update(secret).digest('hex')]));
  for (const text of door.texts) {
    for (const [found] of text.matchAll(/sk-llm-[0-9A-Za-z]{49}|[0-9a-f]{64}/g)) {
      assert.ok(!hidden.has(found), `a secret or its hash is in ${text.slice(0, 500)}`);
    }
  }
}

describe('Hostile requests on raw sockets', function () {
  this.timeout(120_000);
  for (const [name, open] of doors) {
    it(`are answered by ${name} in its own words, and a good one after them as ever`, async function () {
      const seed = seedOf(this, 20_260_101);
      const door = await open();
      try {
        await attack(door, seededRandom(seed));
      } finally {
        await door.close();
      }
    });
  }
});
