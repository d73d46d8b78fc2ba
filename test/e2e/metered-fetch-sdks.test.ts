import assert from 'node:assert/strict';
import type { RequestHandler } from 'express';
import { getLlm } from '../../lib/http/context.ts';
import { meteredFetch } from '../../lib/http/metered-fetch.ts';
import { noTokens } from '../../lib/usage/usage.ts';
import {
  echoUpstream,
  type MeteredApp,
  meteredApp,
  meteredPrices,
  requestsOf,
  type Upstream,
} from '../support/metered-app.ts';
import { charge } from '../support/usage-events.ts';
import { type SdkCalls, sdks } from './clients/sdks.ts';

const prompt = 'Hello there';

for (const { title, model, create } of sdks) {
  describe(`${title}, in a handler`, () => {
    let upstream: Upstream;
    let app: MeteredApp | undefined;
    before(async () => {
      upstream = await echoUpstream();
    });
    afterEach(() => app?.close());
    after(() => upstream.close());

    /** What each call of two words is charged: those, and as many in return. */
    function charged() {
      const usage = { inputTokens: 2, outputTokens: model.includes('embedding') ? 0 : 2 };
      const costUsd = (meteredPrices.find(model)?.costNanoUsd({ ...noTokens, ...usage }) ?? 0) / 1e9;
      return { model, ...usage, costUsd, source: 'reported' };
    }

    async function charges(handler: RequestHandler): Promise<void> {
      app = await meteredApp(handler);
      const answer = await app.ask();
      assert.equal(answer.status, 200);
      const { texts } = (await answer.json()) as { texts: readonly string[] };
      assert.deepEqual(
        texts,
        texts.map(() => prompt),
      );
      const balance = await app.settled();
      assert.deepEqual(
        app.charged.events.map(charge),
        texts.map(() => charged()),
      );
      assert.equal(requestsOf(balance), texts.length);
      assert.deepEqual(app.charged.problems, []);
    }

    it('is charged through req.llm.fetch for each call, one after another and at once', () =>
      charges(async (req, res) => {
        res.json({ texts: await callAll(create(upstream.url, getLlm(req).fetch)) });
      }));

    it('is charged through meteredFetch in the request that it is called in', async () => {
      const shared = create(upstream.url, meteredFetch);
      await charges(async (_req, res) => {
        res.json({ texts: await callAll(shared) });
      });
    });
  });
}

async function callAll({ plain, streamed = plain }: SdkCalls): Promise<readonly string[]> {
  const sequence = [await plain(prompt), await streamed(prompt)];
  return [...sequence, ...(await Promise.all([plain(prompt), streamed(prompt)]))];
}
