import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createVirtualKeys } from '../../lib/index.ts';
import { createLiteLLMClient, mirrorToLiteLLM } from '../../lib/litellm/index.ts';
import { allRecords, allTwins, assertBothSidesEqual } from '../support/litellm/both-sides.ts';
import { litellmProxy } from '../support/litellm/litellm-proxy.ts';
import { type RecordedWrite, recordingProxy } from '../support/litellm/recording-proxy.ts';
import { startMirrorProcess } from '../support/litellm/start-mirror-process.ts';
import { redisSession } from '../support/redis-session.ts';
import { redisServer } from '../support/services/redis-server.ts';

const processes = 4;

/** What a write leaves open, from all there is to nothing. */
type Openness = 'open' | 'tight' | 'closed';
const order: readonly Openness[] = ['open', 'tight', 'closed'];

describe('mirrors of several processes', function () {
  this.timeout(300_000);

  it('make, tighten and close 500 twins through outages and a pause, and never open what was closed', async () => {
    const proxy = await litellmProxy();
    // The real one answers 150 queries a second.
    const keysEach = (proxy.isReal ? 60 : 500) / processes;
    const timeoutMs = proxy.isReal ? 4000 : 1500;
    const leaseMs = timeoutMs * 2 + 500;
    const redisUrl = (await redisServer()).url;
    const session = redisSession(redisUrl);
    const { store, prefix } = session;
    /** Writes by token, each with what its key was when it arrived. */
    const history = new Map<string, { readonly write: RecordedWrite; readonly key: Openness | 'absent' }[]>();

    async function note(write: RecordedWrite): Promise<void> {
      for (const token of tokensOf(write)) {
        const record = await store.findKeyByHash([token]);
        const key =
          record === undefined ? 'absent' : record.revokedAtMs !== null ? 'closed' : openness(record.rpmLimit === 10);
        history.set(token, [...(history.get(token) ?? []), { write, key }]);
      }
    }

    const recorder = await recordingProxy(proxy.baseUrl, note);
    const job = { redisUrl, prefix, baseUrl: recorder.url, masterKey: proxy.masterKey, timeoutMs, leaseMs };
    const fleet = Array.from({ length: processes }, () =>
      startMirrorProcess({ ...job, task: { name: 'fleet', keys: keysEach } }),
    );
    let hasFailed = false;
    for (const { isDone } of fleet) void isDone.then((done) => (hasFailed ||= !done));
    async function untilKeys(count: number): Promise<void> {
      while (!hasFailed && (await store.countKeys({})).total < count) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    async function hasMore(): Promise<boolean> {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const { later, due, claimed } = await store.outboxBacklog();
      return later + due + claimed > 0;
    }
    const total = keysEach * processes;
    for (const [share, outageMs] of [
      [0.2, 300],
      [0.5, 800],
    ] as const) {
      await untilKeys(total * share);
      recorder.kill();
      await new Promise((resolve) => setTimeout(resolve, outageMs));
      recorder.restart();
    }
    await untilKeys(total * 0.6);
    const [paused, ...others] = fleet;
    assert.ok(paused !== undefined);
    paused.pause();
    await new Promise((resolve) => setTimeout(resolve, leaseMs + timeoutMs));
    paused.resume();
    for (const worker of [paused, ...others]) assert.equal(await worker.isDone, true);
    const keys = createVirtualKeys({ store, storeTimeoutMs: 5000 });
    const client = createLiteLLMClient({ baseUrl: proxy.baseUrl, masterKey: proxy.masterKey, timeoutMs });
    const mirror = mirrorToLiteLLM({ keys, client, deploymentId: prefix, leaseMs });
    for (const worker of fleet) await worker.kill();
    // What LiteLLM did not take is put off, by a few seconds at most; on a busy machine it is taken slowly.
    const endMs = performance.now() + 120_000;
    do await mirror.flush();
    while ((await hasMore()) && performance.now() < endMs);
    assert.equal(await hasMore(), false, 'Everything has been looked at');
    assert.equal((await allRecords(store)).length, total);
    await assertBothSidesEqual(store, client, prefix);
    const aliases = (await allTwins(client)).map(({ key_alias }) => key_alias);
    assert.equal(new Set(aliases).size, aliases.length);

    for (const [token, writes] of history) {
      let overtaken = 0;
      let narrowest = 0;
      for (const { write, key } of writes) {
        const [sent, wanted] = [order.indexOf(opennessOf(write)), order.indexOf(key === 'absent' ? 'closed' : key)];
        if (write.status === null || write.status >= 400) continue;
        assert.ok(sent >= narrowest, `A twin was opened: ${JSON.stringify(writes)} ${token}`);
        narrowest = sent;
        // The twin comes before the key, whose secret nobody has.
        if (sent < wanted && write.path !== '/key/generate') overtaken += 1;
      }
      // At most the one write that was under way at each of the two changes.
      assert.ok(overtaken <= 2, `A twin was wider than its key: ${JSON.stringify(writes)} ${token}`);
    }
    await mirror.stop();
    await keys.close();
    await session.close();
    await recorder.close();
    await proxy.close();
  });
});

function tokensOf({ body }: RecordedWrite): readonly string[] {
  const sent = Array.isArray(body.keys) ? body.keys : [body.key];
  return sent.map((key) => (/^[0-9a-f]{64}$/.test(String(key)) ? String(key) : sha256(String(key))));
}

function opennessOf({ path, body }: RecordedWrite): Openness {
  if (path === '/key/delete') return 'closed';
  return openness(body.rpm_limit === 10);
}

function openness(isTight: boolean): Openness {
  return isTight ? 'tight' : 'open';
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
