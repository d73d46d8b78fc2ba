import { isPolicyRecord } from '../../../keys/record-check.ts';
import type { PolicyRecord } from '../../../keys/virtual-key.ts';
import { noLimits } from '../../../limits/limit.ts';
import type { Records, StoredDefaults } from '../../store.ts';
import { asked } from '../script.ts';
import type { Changes } from './changes.ts';
import { isWrongType } from './keys.ts';
import type { RecordConnection } from './record-connection.ts';
import { changeDocument } from './record-scripts.ts';
import { parsedObject } from './stored-key.ts';

const documentFields = ['json', 'version', 'revision', 'createdAtMs'] as const;

export function createPolicyRecords(
  { client, names, notify }: RecordConnection,
  changes: Changes,
): Pick<Records, 'findPolicy' | 'putPolicy' | 'findDefaults' | 'putDefaults'> {
  async function readDocument(key: string) {
    const fields = await asked(async () => {
      try {
        return await client.hmget(key, ...documentFields);
      } catch (error) {
        if (isWrongType(error)) return ['', null, null, null];
        throw error;
      }
    });
    const [json, version, revision, createdAtMs] = fields;
    if (fields.every((field) => field === null)) return undefined;
    const numbers = { version: Number(version), revision: Number(revision), createdAtMs: Number(createdAtMs) };
    return { text: parsedObject(json), ...numbers };
  }

  return {
    async findPolicy(scopeId) {
      const document = await readDocument(names.policy(scopeId));
      if (document === undefined) return undefined;
      const { text, version, revision, createdAtMs } = document;
      const policy: unknown = { ...text, version, revision, createdAtMs };
      if (isPolicyRecord(policy)) return policy;
      notify({ type: 'corrupt', scopeId });
      return denying(version, revision);
    },

    async putPolicy(scopeId, record, change) {
      const isNew = record.version === 1;
      const made = { recordKey: names.policy(scopeId), scopeId, change, fence: { isNew, isClosed: false } };
      const { version, createdAtMs } = record;
      const document = { version, json: JSON.stringify(record), createdAtMs };
      const reply = await changes.make(changeDocument, made, { keys: [], record: document });
      if (reply.outcome === 'version_conflict') return reply;
      if (reply.outcome !== 'changed') return { outcome: 'not_found' };
      const stored = { ...record, revision: reply.revision, createdAtMs: Number(reply.extra) };
      return { outcome: 'updated', record: stored };
    },

    async findDefaults() {
      const document = await readDocument(names.defaults);
      if (document === undefined) return undefined;
      const { defaults = {}, maximums = {} } = document.text as Partial<StoredDefaults>;
      return { defaults, maximums, version: document.version };
    },

    async putDefaults(record, change) {
      const made = { recordKey: names.defaults, scopeId: null, change: { ...change, fence: false }, fence: null };
      const document = { version: record.version, json: JSON.stringify(record), createdAtMs: 0 };
      const reply = await changes.make(changeDocument, made, { keys: [], record: document });
      if (reply.outcome === 'version_conflict') return reply;
      return reply.outcome === 'changed' ? { outcome: 'updated', record } : { outcome: 'not_found' };
    },
  };
}

/** Stands in for a policy that cannot be read, until it is put anew: to leave it out would widen what it narrowed. */
function denying(version: number, revision: number): PolicyRecord {
  return {
    ...noLimits,
    models: [],
    endpoints: [],
    rpmLimit: 0,
    version: version || 0,
    revision: revision || 0,
    createdAtMs: 0,
    updatedAtMs: 0,
  };
}
