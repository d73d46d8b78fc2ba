import { createAlias } from './alias.ts';
import type { KeyFields } from './key-fields.ts';
import { mintKeyId } from './key-id.ts';
import type { VirtualKeyRecord } from './virtual-key.ts';

/** What of a new record is about its secret. */
export type RecordSecret = Pick<VirtualKeyRecord, 'secretHash' | 'prefix'>;

/** The record of a key that begins now, under a new id and alias. */
export function newRecord(fields: KeyFields, secret: RecordSecret, nowMs: number): VirtualKeyRecord {
  return {
    ...fields,
    ...secret,
    id: mintKeyId(fields),
    alias: createAlias(fields.name),
    previousSecret: null,
    disabledAtMs: null,
    revokedAtMs: null,
    revokedReason: null,
    version: 1,
    revision: 0,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    lastUsedAtMs: null,
  };
}
