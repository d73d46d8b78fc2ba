import type { VirtualKeyRecord } from '../../../keys/virtual-key.ts';
import type { Records } from '../../store.ts';
import { asked } from '../script.ts';
import type { Changes } from './changes.ts';
import { entryOf } from './entries.ts';
import { quoted, unquoted } from './names.ts';
import type { RecordConnection } from './record-connection.ts';
import { changeKey, touchKey } from './record-scripts.ts';
import { filteredText, hashesOf, indexesOf, isEnabled, keyFields, readKey } from './stored-key.ts';

type KeyRecords = Pick<Records, 'insertKey' | 'updateKey' | 'deleteKey' | 'findKey' | 'findKeyByHash' | 'touchKey'> & {
  /** By position; `undefined` where there is none, or none that can be read. */
  readKeys(ids: readonly string[]): Promise<readonly (VirtualKeyRecord | undefined)[]>;
};

export function createKeyRecords(connection: RecordConnection, changes: Changes): KeyRecords {
  const { client, run, names, notify } = connection;

  async function findKey(id: string): Promise<VirtualKeyRecord | undefined> {
    const fields = await asked(async () => {
      try {
        return await client.hmget(names.key(id), ...keyFields);
      } catch (error) {
        if (isWrongType(error)) return ['', null, null, null, null];
        throw error;
      }
    });
    const key = readKey(fields);
    if (key !== 'corrupt') return key;
    notify({ type: 'corrupt', scopeId: `key:${id}` });
    return undefined;
  }

  async function change(
    before: VirtualKeyRecord | undefined,
    after: VirtualKeyRecord | undefined,
    given: Parameters<Records['insertKey']>[1],
    maxActive: number | null,
  ) {
    const key = before ?? after;
    if (key === undefined) throw new TypeError('A change of a key needs the key');
    const { id } = key;
    const leaving = before === undefined ? [] : indexesOf(before, names);
    const joining = after === undefined ? [] : indexesOf(after, names);
    const keys = [
      names.byAlias,
      names.byHash,
      names.filtered,
      names.enabled,
      names.enabledOf(before?.ownerId ?? null),
      names.enabledOf(after?.ownerId ?? null),
      ...leaving,
      ...joining,
    ];
    const record = {
      id: quoted(id),
      entry: entryOf({ atMs: key.createdAtMs, id }),
      leaving: leaving.length,
      maxActive: maxActive ?? undefined,
      before: before && { version: before.version, alias: quoted(before.alias), hashes: hashesOf(before).map(quoted) },
      after: after && {
        version: after.version,
        json: JSON.stringify(after),
        createdAtMs: key.createdAtMs,
        lastUsedAtMs: after.lastUsedAtMs ?? undefined,
        alias: quoted(after.alias),
        hashes: hashesOf(after).map(quoted),
        filtered: filteredText(after),
        expiresAt: isEnabled(after) ? String(after.expiresAtMs ?? '+inf') : undefined,
        isOwned: after.ownerId !== null,
      },
    };
    const isNew = before === undefined;
    const isClosed = after === undefined;
    const fence = given.fence || isNew || isClosed ? { isNew, isClosed } : null;
    const made = { recordKey: names.key(id), scopeId: `key:${id}`, change: given, fence } as const;
    return changes.make(changeKey, made, { keys, record });
  }

  return {
    findKey,
    readKeys: (ids) => Promise.all(ids.map(findKey)),

    async insertKey(record, given, { maxActive }) {
      const reply = await change(undefined, record, given, maxActive);
      switch (reply.outcome) {
        case 'changed':
          return { outcome: 'inserted', record: { ...record, revision: reply.revision } };
        case 'version_conflict':
        case 'not_found':
          return { outcome: 'id_taken' };
        default:
          return { outcome: reply.outcome };
      }
    },

    async updateKey(record, given, { maxActive }) {
      // Its index entries are known by the record as it is; the script compares the version once more.
      const current = await findKey(record.id);
      if (current === undefined) return { outcome: 'not_found' };
      if (current.version !== record.version - 1) return { outcome: 'version_conflict', version: current.version };
      const reply = await change(current, record, given, maxActive);
      switch (reply.outcome) {
        case 'changed': {
          const lastUsedAtMs = reply.extra === '' ? null : Number(reply.extra);
          const { createdAtMs } = current;
          return { outcome: 'updated', record: { ...record, revision: reply.revision, createdAtMs, lastUsedAtMs } };
        }
        case 'version_conflict':
          return reply;
        case 'alias_taken':
        case 'owner_limit':
          return { outcome: reply.outcome };
        default:
          return { outcome: 'not_found' };
      }
    },

    async deleteKey(id, version, given) {
      const current = await findKey(id);
      if (current === undefined) return { outcome: 'not_found' };
      if (current.version !== version) return { outcome: 'version_conflict', version: current.version };
      const reply = await change(current, undefined, given, null);
      if (reply.outcome === 'version_conflict') return reply;
      return reply.outcome === 'changed' ? { outcome: 'updated', record: null } : { outcome: 'not_found' };
    },

    async findKeyByHash(secretHashes) {
      if (secretHashes.length === 0) return undefined;
      const ids = await asked(() => client.hmget(names.byHash, ...secretHashes.map(quoted)));
      for (const id of ids) {
        const key = id === null ? undefined : await findKey(unquoted(id));
        // The secret may have been replaced between the two reads.
        if (key !== undefined && hashesOf(key).some((hash) => secretHashes.includes(hash))) return key;
      }
      return undefined;
    },

    async touchKey(id, lastUsedAtMs) {
      await run(touchKey, [names.key(id)], [lastUsedAtMs]);
    },
  };
}

export function isWrongType(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('WRONGTYPE');
}
