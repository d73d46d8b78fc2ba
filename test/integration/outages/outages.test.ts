import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { StoreUnavailableError } from '../../../lib/errors.ts';
import { createVirtualKeys } from '../../../lib/keys/create-virtual-keys.ts';
import type { VirtualKeys } from '../../../lib/keys/virtual-keys.ts';
import { createEchoModel } from '../../../lib/testing/index.ts';
import { priceBook } from '../../../lib/usage/pricing.ts';
import { guardedApp } from '../../support/apps.ts';
import { eventually } from '../../support/eventually.ts';
import { listen } from '../../support/listen.ts';
import { type ProxiedStore, proxiedCombination, proxiedPostgres, proxiedRedis } from '../../support/proxied-stores.ts';
import { storeWith, testLog } from '../../support/service.ts';

const prices = priceBook({ '*': { inputPerMillion: 1, outputPerMillion: 2 } });
const deadlineMs = 500;

for (const [name, open, listeners] of [
  ['Redis', proxiedRedis, 1],
  ['Postgres', proxiedPostgres, 1],
  ['Postgres and Redis', proxiedCombination, 2],
] as const) {
  describe(`The service on ${name}`, function () {
    this.timeout(30_000);
    let proxied: ProxiedStore;
    let keys: VirtualKeys;
    let keyId: string;
    let secret: string;

    beforeEach(async () => {
      proxied = await open();
      const { store } = proxied;
      // Whoever begins to listen forgets the records read before: that comes first here, not in the middle of an outage.
      let listening = 0;
      const listened = storeWith(store, {
        open: (environment) =>
          store.open({
            ...environment,
            onNotice(notice) {
              if (notice.type === 'missed') listening += 1;
              environment.onNotice(notice);
            },
          }),
      });
      keys = createVirtualKeys({ store: listened, prices, logger: testLog(), cacheMs: 60_000 });
      await eventually(() => listening >= listeners, 'Notices of every store');
      ({
        key: { id: keyId },
        secret,
      } = await keys.create({ name: 'Test', models: ['*'], maxBudget: 10, maxParallelRequests: 50 }));
      await keys.settle((await admitted()).hold, { model: 'm', inputTokens: 0, outputTokens: 0, costUsd: 0 });
    });

    afterEach(async () => {
      proxied.proxy.heal();
      await keys.close();
      await proxied.store.close();
      await proxied.close();
    });

    const admit = () => keys.admit({ keyId, model: 'm', tokens: 10, costUsd: 0.01 });

    async function admitted() {
      const result = await admit();
      if (!result.admitted) assert.fail(result.reason);
      return result;
    }

    /** How long it takes to be told that the store is down. */
    async function refusedAfterMs(): Promise<number> {
      const startMs = performance.now();
      await assert.rejects(admit(), StoreUnavailableError);
      return performance.now() - startMs;
    }

    /** Asks until nobody asks the store any more. Records that were forgotten are looked for once for all callers. */
    async function openCircuit(): Promise<void> {
      for (let round = 0; round < 20; round += 1) {
        const waitedMs = await Promise.all(Array.from({ length: 5 }, refusedAfterMs));
        if (waitedMs.some((ms) => ms < 50)) return;
      }
      assert.fail('every call waits for the store');
    }

    /** What is left open and what was spent, once the service has told the store all that it had to. */
    async function settledBalance() {
      await eventually(async () => (await keys.balance(keyId)).openRequests === 0, 'The end of every hold');
      const { spend, held } = await keys.balance(keyId);
      return { spend, held };
    }

    it('refuses at the deadline when the connection stalls, and then at once', async () => {
      proxied.proxy.fail({ type: 'stall' });
      const waited = await Promise.all(Array.from({ length: 5 }, refusedAfterMs));
      for (const ms of waited) assert.ok(ms > deadlineMs - 5 && ms < deadlineMs + 250, `${ms} ms`);
      await openCircuit();
      const startMs = performance.now();
      let refused = 0;
      // Within the pause between two probes.
      while (performance.now() - startMs < 100) {
        await assert.rejects(admit(), StoreUnavailableError);
        refused += 1;
      }
      assert.ok(refused > 20, `${refused} refusals in 100 ms`);
    });

    it('admits again within a probe after the connection flows, and has lost neither holds nor money', async () => {
      const { hold } = await admitted();
      proxied.proxy.fail({ type: 'stall' });
      await openCircuit();
      await assert.rejects(
        keys.settle(hold, { model: 'm', inputTokens: 10, outputTokens: 0, costUsd: 0.02 }),
        StoreUnavailableError,
      );
      proxied.proxy.heal();
      await sleep(250);
      const admittedAgain = await admitted();
      await keys.settle(admittedAgain.hold, { model: 'm', inputTokens: 10, outputTokens: 0, costUsd: 0.03 });
      assert.deepEqual(await settledBalance(), { spend: 0.05, held: 0 });
    });

    it('is well again by itself after its connections were cut', async () => {
      const { hold } = await admitted();
      proxied.proxy.fail({ type: 'cut' });
      await openCircuit();
      const startMs = performance.now();
      await assert.rejects(admit(), StoreUnavailableError);
      assert.ok(performance.now() - startMs < 50);
      assert.equal((await keys.health()).store.state, 'down');
      proxied.proxy.heal();
      await eventually(
        async () => (await admit().catch(() => ({ admitted: false }))).admitted,
        'The end of the outage',
      );
      await eventually(async () => (await keys.health()).store.state === 'up', 'Health');
      assert.equal(
        (await keys.settle(hold, { model: 'm', inputTokens: 0, outputTokens: 0, costUsd: 0.02 })).state,
        'settled',
      );
    });

    it('charges an admission once whose answer was lost', async () => {
      proxied.proxy.fail({ type: 'dropReplies' });
      await assert.rejects(admit(), StoreUnavailableError);
      // Replies that were dropped never come: only new connections can be used.
      proxied.proxy.fail({ type: 'cut' });
      proxied.proxy.heal();
      await eventually(async () => {
        const result = await admit().catch(() => undefined);
        if (result?.admitted !== true) return false;
        await keys.settle(result.hold, { model: 'm', inputTokens: 0, outputTokens: 0, costUsd: 0.04 });
        return true;
      }, 'The end of the outage');
      assert.deepEqual(await settledBalance(), { spend: 0.04, held: 0 });
    });

    it('tells once of a settlement that was made and whose answer was lost, and of the budget that it spent', async () => {
      const { hold } = await admitted();
      const told: unknown[] = [];
      keys.on('usage.recorded', ({ holdId, costUsd }) => told.push({ holdId, costUsd }));
      keys.on('budget.exceeded', ({ budget }) => told.push({ spend: budget?.spend }));
      // The last words to Postgres of what charges; Redis is told of the hold in one.
      proxied.proxy.fail({ type: 'dropRepliesTo', request: name === 'Postgres' ? 'commit' : hold.holdId });
      const settling = keys.settle(hold, { model: 'm', inputTokens: 0, outputTokens: 0, costUsd: 11 });
      await Promise.all([
        assert.rejects(settling, StoreUnavailableError),
        // A driver learns it when its connection ends; that of Redis sends the act again by itself, on another one.
        sleep(100).then(() => {
          proxied.proxy.fail({ type: 'cut' });
          proxied.proxy.heal();
        }),
      ]);
      await eventually(() => told.length >= 2, 'What listeners are told');
      await keys.close();
      assert.deepEqual(told, [{ holdId: hold.holdId, costUsd: 11 }, { spend: 11 }]);
      assert.deepEqual((await keys.alerts()).items.map(({ type }) => type).sort(), ['budget.exceeded']);
    });

    for (const [onStoreError, status] of [
      ['deny', 503],
      ['admit', 200],
    ] as const) {
      it(`answers ${status} to callers while the store stalls, with onStoreError: '${onStoreError}'`, async () => {
        const echo = createEchoModel();
        const server = await listen(guardedApp(express, { keys, onStoreError }, echo));
        const call = () =>
          fetch(`${server.url}/v1/chat/completions`, {
            method: 'POST',
            headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
            body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hello, world' }] }),
          });
        assert.equal((await call()).status, 200);
        const { spend } = await settledBalance();
        assert.ok(spend > 0);
        proxied.proxy.fail({ type: 'stall' });
        const answer = await call();
        assert.equal(answer.status, status);
        await answer.text();
        proxied.proxy.heal();
        await eventually(async () => (await keys.health()).store.state === 'up', 'Health');
        const charged = status === 200 ? 2 * spend : spend;
        await eventually(async () => (await settledBalance()).spend === charged, 'What was served meanwhile');
        await server.close();
      });
    }
  });
}
