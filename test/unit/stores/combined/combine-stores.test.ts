import assert from 'node:assert/strict';
import { FencePendingError, StoreUnavailableError } from '../../../../lib/errors.ts';
import { type CombineStoresOptions, combineStores } from '../../../../lib/stores/combined/combine-stores.ts';
import { memoryStore } from '../../../../lib/stores/memory/memory-store.ts';
import type { AdmitVerdict, StoreNotice } from '../../../../lib/stores/store.ts';
import { createCaller, keyId, keyScope, keyWith } from '../../../../lib/testing/store-suite/caller.ts';
import {
  anyNumber,
  nextVersion,
  sampleChange,
  sampleKey,
  samplePolicy,
} from '../../../../lib/testing/store-suite/sample-records.ts';
import { createTestClock } from '../../../../lib/testing/store-suite/test-clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { faultyStore } from '../../../support/faulty-store.ts';
import { testLog } from '../../../support/service.ts';

const leaves: (() => void)[] = [];

/** A combined store that is open, over two halves that can be broken. */
function combined(options: Partial<CombineStoresOptions> = {}) {
  const [records, ledger] = [faultyStore(), faultyStore()];
  const store = combineStores({ records: records.store, ledger: ledger.store, ...options });
  const clock = createTestClock();
  const notices: StoreNotice[] = [];
  const log = testLog();
  leaves.push(store.open({ clock: clock.now, logger: log, onNotice: (notice) => notices.push(notice) }));
  return { store, records, ledger, clock, notices, log };
}

async function insertKey({ store, clock }: ReturnType<typeof combined>, fields = {}) {
  const inserted = await store.insertKey(sampleKey(clock.now(), { id: keyId, ...fields }), sampleChange(), anyNumber);
  if (inserted.outcome !== 'inserted') assert.fail(inserted.outcome);
  return inserted.record;
}

function nonceOf(verdict: AdmitVerdict): string {
  if (verdict.outcome !== 'unseeded') assert.fail(verdict.outcome);
  return verdict.scopes[0]?.nonce ?? '';
}

describe('combineStores', () => {
  afterEach(() => {
    for (const leave of leaves.splice(0)) leave();
  });

  it('is named by its halves', () => {
    assert.equal(combineStores({ records: memoryStore(), ledger: memoryStore() }).name, 'memory+memory');
  });

  it('refuses options that are unknown, and stores that cannot be what they are given as', () => {
    const [records, ledger] = [memoryStore(), memoryStore()];
    const refusals: [unknown, RegExp][] = [
      [undefined, /combineStores: give it two stores, \{ records, ledger \}/],
      [{ records, ledger, cache: 1 }, /combineStores: there is no option "cache"/],
      [{ records }, /combineStores: ledger must be a store/],
      [
        { records: { ...records, archiveUsage: undefined }, ledger },
        /cannot keep the records; it has no archiveUsage$/,
      ],
      [
        { records, ledger: { ...ledger, fence: undefined, trimUsage: undefined } },
        /cannot keep the ledger; it has no fence, trimUsage$/,
      ],
      [{ records, ledger: records }, /records and ledger are the same store/],
      [{ records, ledger, maxRelayLagMs: 0 }, /maxRelayLagMs must be a whole number from 1000/],
      [{ records, ledger, maxRelayBacklog: 0 }, /maxRelayBacklog must be a whole number from 1/],
    ];
    for (const [options, message] of refusals) {
      assert.throws(() => combineStores(options as never), { name: 'TypeError', message });
    }
  });

  it('answers a ping when both halves do', async () => {
    const session = combined();
    await session.store.ping();
    session.records.break('fail', 'ping');
    await assert.rejects(session.store.ping());
    session.records.mend();
    session.ledger.break('fail', 'ping');
    await assert.rejects(session.store.ping());
  });

  it('passes on what either half notices', async () => {
    const session = combined();
    const { store, notices, clock } = session;
    const key = await insertKey(session);
    await createCaller(session, { ...keyWith(key), revision: key.revision }).hold();
    clock.advance(121_000);
    await store.sweep(10);
    assert.deepEqual(
      notices.map(({ type }) => type),
      ['changed', 'abandoned'],
    );
  });

  for (const fault of ['fail', 'lose_reply', 'hang'] as const) {
    it(`throws fence_pending for a change that is stored, when the ledger does: ${fault}`, async () => {
      const session = combined();
      const { store, ledger, clock } = session;
      const key = await insertKey(session);
      const policy = await store.putPolicy('team:red', samplePolicy(clock.now()), sampleChange());
      assert.equal(policy.outcome, 'updated');
      ledger.break(fault, 'fence');
      const pending = (error: unknown) => error instanceof FencePendingError && error.code === 'fence_pending';
      const revoked = nextVersion(key, { revokedAtMs: 1 });
      await assert.rejects(store.updateKey(revoked, sampleChange(), anyNumber), pending);
      const tightened = samplePolicy(clock.now(), { rpmLimit: 1, version: 2 });
      await assert.rejects(store.putPolicy('team:red', tightened, sampleChange()), pending);
      assert.equal((await store.findKey(keyId))?.revokedAtMs, 1);
      assert.equal((await store.findPolicy('team:red'))?.rpmLimit, 1);
      await assert.rejects(store.deleteKey(keyId, 2, sampleChange()), pending);
      assert.equal(await store.findKey(keyId), undefined);

      ledger.mend();
      const caller = createCaller(session, { ...keyWith(key), revision: key.revision });
      await eventually(async () => (await caller.admit()).outcome === 'stale');
      await eventually(async () => (await session.records.store.pendingFences(10)).length === 0);
    });
  }

  it('resolves a change that matters for no admission while the ledger is down', async () => {
    const session = combined();
    const key = await insertKey(session);
    session.ledger.break('fail');
    const renamed = nextVersion(key, { name: 'Renamed' });
    const updated = await session.store.updateKey(renamed, sampleChange({ fence: false }), anyNumber);
    assert.equal(updated.outcome, 'updated');
  });

  it('resolves the creation of a key while the ledger is down, which admits nothing under it until it is told', async () => {
    const session = combined();
    session.ledger.break('fail', 'fence');
    const key = await insertKey(session);
    const caller = createCaller(session, { ...keyWith(key), revision: key.revision });
    assert.equal((await caller.admit()).outcome, 'unseeded');
    session.ledger.mend();
    await eventually(async () => (await caller.admit()).outcome === 'admitted');
  });

  it('raises the fence of one scope though that of another one cannot be raised', async () => {
    const session = combined();
    const key = await insertKey(session);
    const { fence } = session.ledger.store;
    const ledger = {
      ...session.ledger.store,
      fence: async (row: Parameters<typeof fence>[0]) => {
        if (row.scopeId === 'team:red') throw new Error('this shard is down');
        return fence(row);
      },
    };
    const store = combineStores({ records: session.records.store, ledger });
    await assert.rejects(
      store.putPolicy('team:red', samplePolicy(session.clock.now()), sampleChange()),
      FencePendingError,
    );
    const updated = await store.updateKey(nextVersion(key, { rpmLimit: 1 }), sampleChange(), anyNumber);
    assert.equal(updated.outcome, 'updated');
    const caller = createCaller({ ...session, store }, { ...keyWith(key), revision: key.revision });
    assert.equal((await caller.admit()).outcome, 'stale');
  });

  it('raises fences that another process has left behind', async () => {
    const session = combined();
    const key = await insertKey(session);
    const change = { ...sampleChange(), ledger: 'other' as const };
    await session.records.store.updateKey(nextVersion(key, { revokedAtMs: 1 }), change, anyNumber);
    const caller = createCaller(session, { ...keyWith(key), revision: key.revision });
    await eventually(async () => (await caller.admit()).outcome === 'stale');
  });

  it('tells spend from the archive, marked as approximate, while the ledger is down', async () => {
    const session = combined();
    const { store, ledger } = session;
    const limits = { maxBudgetNanoUsd: 5_000_000_000, budgetDuration: 'daily' };
    const key = await insertKey(session, limits);
    const caller = createCaller(session, { ...keyWith(limits), revision: key.revision });
    await caller.settle(await caller.hold({ costUsd: 1 }), { costUsd: 0.75 });
    const open = await caller.hold({ costUsd: 2 });
    await store.usage({ groupBy: [] });
    const periodStartMs = Date.UTC(2026, 0, 15);
    const [exact] = await store.balances([keyScope]);
    assert.deepEqual(exact?.budgets, [
      { budgetId: 'main', periodStartMs, spentNanoUsd: 750_000_000, heldNanoUsd: 2_000_000_000 },
    ]);
    assert.equal(exact?.isApproximate, undefined);

    ledger.break('fail');
    assert.deepEqual(await store.balances([keyScope, 'team:unknown']), [
      {
        scopeId: keyScope,
        revision: key.revision,
        windows: [],
        openHolds: 0,
        budgets: [{ budgetId: 'main', periodStartMs, spentNanoUsd: 750_000_000, heldNanoUsd: 0 }],
        isApproximate: true,
      },
    ]);
    ledger.mend();
    assert.equal((await caller.settle(open, { costUsd: 1 })).state, 'settled');
  });

  it('tells when too many usage events wait for the archive', async () => {
    const session = combined({ maxRelayBacklog: 3 });
    const { records, notices, log } = session;
    const key = await insertKey(session);
    records.break('fail', 'archiveUsage');
    const caller = createCaller(session, { ...keyWith(key), revision: key.revision });
    for (let calls = 0; calls < 3; calls += 1) await caller.settle(await caller.hold());
    await eventually(() => notices.some((notice) => notice.type === 'usage_behind' && notice.backlog === 3));
    assert.match(log.lines.join('\n'), /3 events of it wait there/);
  });

  it('adjusts nothing without its audit row, of which there is one however often it is tried', async () => {
    const session = combined();
    const { store, records, ledger } = session;
    const key = await insertKey(session);
    const caller = createCaller(session, { ...keyWith(key), revision: key.revision });
    await caller.settle(await caller.hold({ costUsd: 1 }), { costUsd: 1 });
    const audit = { ...sampleChange().audit, action: 'key.spend_reset', target: keyScope };
    const subject = { keyId, ownerId: null, teamId: null, model: null, endpoint: null };
    const budgets = [{ budgetId: 'main', periodStartMs: 0 }];
    const adjust = () => store.adjust({ id: 'reset', scopeId: keyScope, budgets, subject, audit });
    const spent = async () => (await store.balances([keyScope]))[0]?.budgets[0]?.spentNanoUsd;
    records.break('fail', 'appendAudit');
    await assert.rejects(adjust());
    assert.equal(await spent(), 1_000_000_000);
    records.mend();
    for (const fault of ['fail', 'lose_reply'] as const) {
      ledger.break(fault, 'adjust');
      await assert.rejects(adjust());
    }
    ledger.mend();
    assert.equal((await adjust()).state, 'already');
    assert.equal(await spent(), 0);
    const { items } = await store.listAudit({ action: 'key.spend_reset' }, { limit: 10 });
    assert.deepEqual(
      items.map(({ id }) => id),
      [audit.id],
    );
  });

  it('seeds no scope with a reading of usage that lacked what the ledger has', async () => {
    const session = combined();
    const { store, records } = session;
    const nonce = nonceOf(await createCaller(session, keyWith()).admit());
    records.break('fail', 'archiveUsage', 'archivedUntil');
    assert.deepEqual(await store.usage({ groupBy: [] }), []);
    await assert.rejects(async () => store.seed(keyScope, nonce, 1, []), StoreUnavailableError);
  });
});
