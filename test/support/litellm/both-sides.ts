import assert from 'node:assert/strict';
import { showKeySettings } from '../../../lib/keys/show-key.ts';
import { keyStatus, type VirtualKeyRecord } from '../../../lib/keys/virtual-key.ts';
import type { LiteLLMClient, LiteLLMKey } from '../../../lib/litellm/index.ts';
import { differences } from '../../../lib/litellm/twin/differences.ts';
import { wantedTwin } from '../../../lib/litellm/twin/wanted-twin.ts';
import type { Store } from '../../../lib/stores/store.ts';

export async function allRecords(store: Store): Promise<readonly VirtualKeyRecord[]> {
  const records: VirtualKeyRecord[] = [];
  for (let page = 1; ; page += 1) {
    const { items, total } = await store.listKeys({}, { limit: 100, page });
    records.push(...items);
    if (records.length >= total) return records;
  }
}

export async function allTwins(client: LiteLLMClient): Promise<readonly LiteLLMKey[]> {
  const twins: LiteLLMKey[] = [];
  for (let page = 1; ; page += 1) {
    const { keys, total_pages } = await client.keys.list({ page });
    twins.push(...keys);
    if (page >= total_pages) return twins;
  }
}

/**
 * Every secret that opens a key here has one twin of this deployment there, which says what the key says, and there is no
 * other twin; every key counts as synced and nothing waits. Without a pepper a key's hash is LiteLLM's.
 */
export async function assertBothSidesEqual(store: Store, client: LiteLLMClient, deploymentId: string): Promise<void> {
  const [records, all, nowMs] = [await allRecords(store), await allTwins(client), Date.now()];
  const isOurs = ({ metadata }: LiteLLMKey) => JSON.stringify(metadata).includes(`"deployment_id":"${deploymentId}"`);
  const twins = new Map(all.filter(isOurs).map((twin) => [twin.token, twin]));
  const secrets = records.flatMap((record) => secretsOf(record, nowMs));
  const tokens = new Set(secrets.map(({ token }) => token));
  const missing = [...tokens].filter((token) => !twins.has(token));
  const extra = [...twins].flatMap(([token, twin]) => (token !== null && tokens.has(token) ? [] : [twin]));
  assert.deepEqual({ missing, extra }, { missing: [], extra: [] });
  assert.equal(twins.size, secrets.length);
  const { served, groups } = { served: [...new Set((await client.models()).map((m) => m.model_name))], groups: [] };
  for (const { record, token, endsAtMs } of secrets) {
    const theirs = twins.get(token);
    assert.ok(theirs !== undefined);
    const source = { key: showKeySettings(record), status: keyStatus(record, nowMs), endsAtMs };
    const options = {
      deploymentId,
      limits: 'twin',
      isEnterprise: false,
      models: 'all',
      served,
      groups,
      nowMs,
    } as const;
    const alias = endsAtMs === null ? record.alias : (theirs.key_alias ?? '');
    assert.deepEqual(differences(wantedTwin(source, options), alias, theirs), []);
  }
  const { due, claimed } = await store.outboxBacklog();
  assert.deepEqual([due, claimed], [0, 0]);
  const counts = await store.countTwins();
  assert.deepEqual(counts, { pending: 0, synced: records.length, error: 0, orphaned: 0 });
}

function secretsOf(record: VirtualKeyRecord, nowMs: number) {
  const { previousSecret: previous } = record;
  if (record.revokedAtMs !== null) return [];
  const inGrace = previous !== null && previous.endsAtMs > nowMs;
  return [
    { record, token: record.secretHash, endsAtMs: null },
    ...(inGrace ? [{ record, token: previous.secretHash, endsAtMs: previous.endsAtMs }] : []),
  ];
}
