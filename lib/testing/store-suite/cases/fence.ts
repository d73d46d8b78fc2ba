import assert from 'node:assert/strict';
import type { VirtualKeyRecord } from '../../../keys/virtual-key.ts';
import type { LimitedScope } from '../../../limits/plan.ts';
import { createCaller, createKnownCaller, keyId, keyScope, keyWith, limited } from '../caller.ts';
import { anyNumber, nextVersion, sampleChange, sampleKey, samplePolicy } from '../sample-records.ts';
import { standingOf } from '../standing.ts';
import { type Session, type StoreCase, storeCase } from '../store-case.ts';
import { minuteMs } from '../test-clock.ts';

async function insertKey({ store, clock }: Session): Promise<VirtualKeyRecord> {
  const inserted = await store.insertKey(sampleKey(clock.now(), { id: keyId }), sampleChange(), anyNumber);
  if (inserted.outcome !== 'inserted') assert.fail(inserted.outcome);
  return inserted.record;
}

function scopeOf(record: VirtualKeyRecord): LimitedScope {
  return { ...keyWith(record), revision: record.revision };
}

export const fenceCases: readonly StoreCase[] = [
  storeCase('ledger', 'a call judged by an older record than another one is stale', async (session) => {
    const caller = await createKnownCaller(session, keyWith(), limited('team:red', {}, { revision: 5 }));
    await caller.hold();
    const newer = caller.under(keyWith(), limited('team:red', {}, { revision: 7 }));
    await newer.hold();
    assert.deepEqual(await caller.admit(), { outcome: 'stale', scopeId: 'team:red', revision: 7 });
    const [team] = await session.store.balances(['team:red']);
    assert.equal(team?.revision, 7);
    await newer.hold();
  }),

  storeCase('ledger', 'a call is admitted before the end of its key and expired from then on', async (session) => {
    const { clock } = session;
    const caller = await createKnownCaller(session, keyWith());
    const notAfterMs = clock.now() + 1;
    assert.equal((await caller.admit({ notAfterMs })).outcome, 'admitted');
    clock.advance(1);
    assert.deepEqual(await caller.admit({ notAfterMs }), { outcome: 'expired' });
  }),

  storeCase('ledger', 'a scope without a record admits, until there is one', async (session) => {
    const { store } = session;
    const withoutPolicy = limited('team:red', {}, { revision: 0, limits: null });
    const caller = await createKnownCaller(session, keyWith(), withoutPolicy);
    await caller.hold();
    const withPolicy = caller.under(keyWith(), limited('team:red'));
    const unseeded = await withPolicy.admit();
    if (unseeded.outcome !== 'unseeded') assert.fail(unseeded.outcome);
    for (const { scopeId, nonce } of unseeded.scopes) await store.seed(scopeId, nonce, 1, []);
    await withPolicy.hold();
    assert.deepEqual(await caller.admit(), { outcome: 'stale', scopeId: 'team:red', revision: 1 });
  }),

  storeCase('store', 'a new key admits at once', async (session) => {
    const caller = createCaller(session, scopeOf(await insertKey(session)));
    await caller.hold();
  }),

  storeCase('store', 'every call judged before a change of its key is stale', async (session) => {
    const { store } = session;
    const key = await insertKey(session);
    const caller = createCaller(session, scopeOf(key));
    const open = await caller.hold({ costUsd: 1 });
    const updated = await store.updateKey(nextVersion(key, { revokedAtMs: 1 }), sampleChange(), anyNumber);
    if (updated.outcome !== 'updated') assert.fail(updated.outcome);
    const { revision } = updated.record;
    assert.equal(revision, key.revision + 1);
    const stale = { outcome: 'stale', scopeId: keyScope, revision };
    assert.deepEqual(await caller.admit(), stale);
    assert.deepEqual(await caller.extend(open), stale);
    assert.equal((await caller.settle(open, { costUsd: 0.5 })).state, 'settled');
    await createCaller(session, scopeOf(updated.record)).hold();
  }),

  storeCase('store', 'a change that does not matter for admission makes nothing stale', async (session) => {
    const { store } = session;
    const key = await insertKey(session);
    await store.updateKey(nextVersion(key, { name: 'Renamed' }), sampleChange({ fence: false }), anyNumber);
    await createCaller(session, scopeOf(key)).hold();
  }),

  storeCase('store', 'a record below the fence, such as a restored one, stays denied', async (session) => {
    const { store } = session;
    const key = await insertKey(session);
    const revision = key.revision + 10;
    await createCaller(session, { ...scopeOf(key), revision }).hold();
    const updated = await store.updateKey(nextVersion(key, { rpmLimit: 5 }), sampleChange(), anyNumber);
    if (updated.outcome !== 'updated') assert.fail(updated.outcome);
    const caller = createCaller(session, scopeOf(updated.record));
    assert.deepEqual(await caller.admit(), { outcome: 'stale', scopeId: keyScope, revision });
  }),

  storeCase('store', 'every call judged before a change of a policy is stale', async (session) => {
    const { store, clock } = session;
    const key = scopeOf(await insertKey(session));
    const without = createCaller(session, key, limited('user:ann', {}, { revision: 0, limits: null }));
    await without.hold();
    const policy = samplePolicy(clock.now(), { rpmLimit: 5 });
    const first = await store.putPolicy('user:ann', policy, sampleChange());
    if (first.outcome !== 'updated') assert.fail(first.outcome);
    const { revision } = first.record;
    assert.deepEqual(await without.admit(), { outcome: 'stale', scopeId: 'user:ann', revision });
    const under = createCaller(session, key, limited('user:ann', { rpmLimit: 5 }, { revision }));
    await under.hold();
    await store.putPolicy('user:ann', nextVersion(policy, { rpmLimit: 0 }), sampleChange());
    assert.deepEqual(await under.admit(), { outcome: 'stale', scopeId: 'user:ann', revision: revision + 1 });
  }),

  storeCase('store', 'a deleted key admits nothing, and its open calls still count for others', async (session) => {
    const { store, clock } = session;
    const key = await insertKey(session);
    const team = samplePolicy(clock.now(), { maxBudgetNanoUsd: 10_000_000_000 });
    const put = await store.putPolicy('team:red', team, sampleChange());
    const revision = put.outcome === 'updated' ? put.record.revision : 0;
    const caller = createCaller(session, scopeOf(key), { ...limited('team:red', team), revision });
    const hold = await caller.hold({ costUsd: 1 });
    clock.advance(minuteMs);
    assert.equal((await store.deleteKey(key.id, 1, sampleChange())).outcome, 'updated');
    assert.equal((await caller.admit()).outcome, 'stale');
    const future = createCaller(session, { ...scopeOf(key), revision: Number.MAX_SAFE_INTEGER });
    assert.equal((await future.admit()).outcome, 'stale');
    assert.equal((await caller.settle(hold, { costUsd: 0.75 })).state, 'settled');
    assert.deepEqual((await standingOf(store, 'team:red')).budgets, { main: { spent: 0.75, held: 0 } });
    const [row] = await store.usage({ groupBy: ['key', 'team'] });
    assert.deepEqual([row?.group, row?.costNanoUsd], [{ key: keyId, team: 'red' }, 750_000_000]);
  }),
];
