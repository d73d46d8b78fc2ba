import assert from 'node:assert/strict';
import type { VirtualKey } from '../../../lib/keys/shown-key.ts';
import { createEchoModel } from '../../../lib/testing/echo-model/echo-model.ts';
import { type RunningExample, startExample } from '../../support/example.ts';

const operator = { authorization: 'Bearer of-the-operator' };

describe('the example of plans', () => {
  let app: RunningExample;

  before(async () => {
    app = await startExample('plans.ts', createEchoModel(), { ADMIN_TOKEN: 'of-the-operator' });
  });
  after(() => app.stop());

  async function subscribe(plan: string, headers: Record<string, string> = operator): Promise<number> {
    const { status } = await fetch(`${app.url}/customers/acme/plan`, {
      method: 'PUT',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ plan }),
    });
    return status;
  }

  function createKey(fields: object = {}): Promise<Response> {
    return app.post('/api-keys', { name: 'Acme', models: ['*'], teamId: 'acme', ...fields }, operator);
  }

  async function createdKey(): Promise<{ readonly key: VirtualKey; readonly secret: string }> {
    return (await (await createKey()).json()) as { key: VirtualKey; secret: string };
  }

  async function ask(secret: string, model = 'gpt-4o-mini'): Promise<readonly [status: number, param: string | null]> {
    const messages = [{ role: 'user', content: 'is it raining' }];
    const answer = await app.post('/v1/chat/completions', { model, messages }, { authorization: `Bearer ${secret}` });
    const { error } = (await answer.json()) as { error?: { param: string } };
    return [answer.status, error?.param ?? null];
  }

  it('holds a plan over all keys of the customer together, and a better one at once', async () => {
    assert.equal(await subscribe('free'), 204);
    const [one, other] = await Promise.all([createdKey(), createdKey()]);
    assert.equal(one.key.rpmLimit, 60);
    assert.deepEqual(await ask(one.secret, 'gpt-4o'), [403, 'model']);
    assert.deepEqual(await ask(one.secret), [200, null]);
    assert.deepEqual(await ask(one.secret), [200, null]);
    assert.deepEqual(await ask(other.secret), [200, null]);
    assert.deepEqual(await ask(other.secret), [429, 'team:rpm']);

    assert.equal(await subscribe('pro'), 204);
    assert.deepEqual(await ask(other.secret, 'gpt-4o'), [200, null]);
  });

  it('makes no key beyond the maximum of every plan', async () => {
    const refused = await createKey({ maxParallelRequests: 51 });
    assert.equal(refused.status, 400);
    const { error } = (await refused.json()) as { error: { code: string } };
    assert.equal(error.code, 'quota_limits_exceeded');
  });

  it('changes no plan for a stranger, and none to one that there is not', async () => {
    assert.equal(await subscribe('pro', { authorization: 'Bearer undefined' }), 401);
    assert.equal(await subscribe('__proto__'), 422);
  });
});
