import assert from 'node:assert/strict';
import type { Response } from 'supertest';
import { memoryStore } from '../../../lib/stores/memory/memory-store.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { guardedApp, onEachExpress } from '../../support/apps.ts';
import { type DialectRequest, dialectRequests } from '../../support/dialects.ts';
import { waitingHandler } from '../../support/handlers.ts';
import { type RefusalCase, type RefusingApp, refusalCases } from '../../support/refusal-cases.ts';
import { createKey, storeWith, testService } from '../../support/service.ts';

const prices = priceBook({ 'gpt-4o': { inputPerMillion: 2.5, outputPerMillion: 10 } });

onEachExpress('llmGuard refuses', (createApp) => {
  async function setUp({ key: fields, options }: RefusalCase, asked: DialectRequest): Promise<RefusingApp> {
    const working = memoryStore();
    let isBroken = false;
    const store = storeWith(working, {
      admit: (request) => (isBroken ? Promise.reject(new Error('connection lost')) : working.admit(request)),
    });
    const service = testService({ store, prices });
    const { key, secret } = await createKey(service, fields);
    const waiting = waitingHandler();
    const app = guardedApp(createApp, { keys: service.keys, ...options }, waiting.handler);
    return {
      ...service,
      ...{ app, secret, waiting, asked },
      keyId: key.id,
      breakStore() {
        isBroken = true;
      },
    };
  }

  for (const refusal of refusalCases) {
    for (const asked of dialectRequests) {
      it(`${refusal.title}, in words of ${asked.dialect}`, async () => {
        const setup = await setUp(refusal, asked);
        const answer = await refusal.provoke(setup);
        assert.deepEqual(told(answer), expected(refusal, asked));
        const { secret } = setup;
        assert.ok(!JSON.stringify([answer.body, answer.headers]).includes(secret));
        assert.deepEqual(
          setup.log.lines.filter((line) => line.includes(secret)),
          [],
        );
      });
    }
  }

  it('by a budget with 402 where the option says so, whoever asks', async () => {
    const budget = refusalCases.find(({ key }) => key?.maxBudget === 0) as RefusalCase;
    const statuses = [];
    for (const asked of dialectRequests) {
      const { status } = await budget.provoke(await setUp({ ...budget, options: { budgetStatus: 402 } }, asked));
      statuses.push(status);
    }
    assert.deepEqual(statuses, [402, 402, 402]);
  });

  it('with failWithError by an error that llmErrorHandler answers alike', async () => {
    for (const refusal of refusalCases) {
      for (const asked of dialectRequests) {
        const options = { ...refusal.options, failWithError: true };
        const answer = await refusal.provoke(await setUp({ ...refusal, options }, asked));
        assert.deepEqual(told(answer), expected(refusal, asked), `${refusal.title}, ${asked.dialect}`);
      }
    }
  });
});

function told({ status, body, headers }: Response) {
  const { 'x-request-id': id, 'request-id': sameId, 'content-type': type } = headers;
  const advice = ['www-authenticate', 'retry-after', 'retry-after-ms', 'x-should-retry']
    .filter((name) => headers[name] !== undefined)
    .map((name) => [name, headers[name]]);
  return { status, body, advice: Object.fromEntries(advice), id, sameId, type };
}

function expected({ status, message, advice, openai, anthropic, gemini }: RefusalCase, { dialect }: DialectRequest) {
  const base = { advice, id: 'req-1', sameId: 'req-1', type: 'application/json; charset=utf-8' };
  switch (dialect) {
    case 'openai':
      return { status, body: { error: { message, ...openai } }, ...base };
    case 'anthropic': {
      const { type, code = openai.code } = anthropic;
      const error = { type, message, details: { error_code: code } };
      return {
        status: anthropic.status ?? status,
        body: { type: 'error', message, error, request_id: 'req-1' },
        ...base,
      };
    }
    case 'gemini': {
      const domain = 'express-llm-keys';
      const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: gemini.reason, domain }];
      return { status, body: { error: { code: status, message, status: gemini.status, details } }, ...base };
    }
  }
}
