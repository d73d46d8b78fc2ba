import assert from 'node:assert/strict';
import express from 'express';
import { createVirtualKeys, type VirtualKeys } from '../../../lib/index.ts';
import { createEchoModel } from '../../../lib/testing/index.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { guardedApp } from '../../support/apps.ts';
import { type Listening, listen } from '../../support/listen.ts';
import { createKey, testLog } from '../../support/service.ts';
import { type SharedStore, sharedStores } from '../../support/shared-stores.ts';

const prices = priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } });

for (const [name, open] of sharedStores) {
  describe(`A request on ${name} that is sent again with its x-request-id`, () => {
    let shared: SharedStore;
    let keys: readonly VirtualKeys[];
    let apps: readonly Listening[];

    before(async () => {
      shared = await open();
      keys = [0, 1].map(() => createVirtualKeys({ store: shared.connect(), prices, logger: testLog() }));
      apps = await Promise.all(
        keys.map((service) => listen(guardedApp(express, { keys: service }, createEchoModel()))),
      );
    });

    after(async () => {
      await Promise.all(apps.map((app) => app.close()));
      await Promise.all(keys.map((service) => service.close()));
      await shared.close();
    });

    it('counts and costs each time, at once or later, in whichever process', async () => {
      const [service] = keys;
      if (service === undefined) assert.fail();
      const { key, secret } = await createKey({ keys: service }, { rpmLimit: 6, maxBudget: 1 });
      const send = async (app: Listening | undefined) => {
        const response = await fetch(`${app?.url}/v1/chat/completions`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${secret}`,
            'content-type': 'application/json',
            'x-request-id': 'one-and-the-same',
          },
          body: JSON.stringify({ model: 'm', max_tokens: 5, messages: [{ role: 'user', content: 'Hello' }] }),
        });
        await response.text();
        return response.status;
      };
      assert.deepEqual(await Promise.all([...apps, ...apps].map(send)), [200, 200, 200, 200]);
      const statuses = [];
      for (const app of [...apps, ...apps]) statuses.push(await send(app));
      assert.deepEqual(statuses, [200, 200, 429, 429]);
      await Promise.all(keys.map((each) => each.close()));
      const { totals } = await service.usage({ keyId: key.id });
      assert.equal(totals.requests, 6);
      const { spend } = await service.balance(key.id);
      assert.ok(spend > 0);
      assert.equal(totals.costUsd, spend);
    });
  });
}
