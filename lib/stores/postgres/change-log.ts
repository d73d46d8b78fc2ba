import { createHash, randomUUID } from 'node:crypto';
import type { ScopeId } from '../../limits/limit.ts';
import type { StoreNotice } from '../store.ts';
import type { Query } from './connection.ts';

/** What processes tell each other of a change: hints, from which each drops what it has cached. */
export interface ChangeLog {
  /** Of this process: what it wrote itself it knows already. */
  readonly sender: string;
  /** The channel on which changes are told as they are committed. */
  readonly channel: string;
  /** Tells of a change in its transaction, to those who listen and to those who poll. */
  write(query: Query, scopeId: ScopeId, revision: number): Promise<void>;
}

/** `pg_notify` takes 7,999 bytes. */
const maxPayloadBytes = 7999;

export function createChangeLog(schema: string): ChangeLog {
  const sender = randomUUID();
  const channel = `llm_keys_${createHash('sha256').update(schema).digest('hex').slice(0, 32)}`;
  return {
    sender,
    channel,
    async write(query, scopeId, revision) {
      await query(
        `with forgotten as (
  delete from ${schema}.changes where sequence in (
    select sequence from ${schema}.changes where at < clock_timestamp() - interval '1 hour'
    order by sequence limit 20 for update skip locked
  )
), told as (
  insert into ${schema}.changes (sender, scope_id, revision) values ($1, $2, $3)
)
select pg_notify($4, $5)`,
        [sender, scopeId, revision, channel, payloadOf({ sender, scopeId, revision })],
      );
    },
  };
}

interface Change {
  readonly sender: string;
  readonly scopeId: ScopeId;
  readonly revision: number;
}

/** An id that is too long for a payload is left out: then anything may have changed. */
function payloadOf({ sender, scopeId, revision }: Change): string {
  const payload = `${sender} ${revision} ${scopeId}`;
  return Buffer.byteLength(payload) <= maxPayloadBytes ? payload : `${sender} ${revision}`;
}

/** What came over the channel. A sender alone is a heartbeat, by which it finds out whether it is heard. */
export function readPayload(payload: string): { readonly sender: string; readonly notice: StoreNotice | null } {
  const [sender = '', revision, ...scope] = payload.split(' ');
  if (revision === undefined) return { sender, notice: null };
  if (scope.length === 0 || !/^\d{1,16}$/.test(revision)) return { sender, notice: { type: 'missed' } };
  return { sender, notice: { type: 'changed', scopeId: scope.join(' ') as ScopeId, revision: Number(revision) } };
}
