import { randomUUID } from 'node:crypto';
import type { ClaimedRow, OutboxRow, Records } from '../../store.ts';
import { asked } from '../script.ts';
import { quoted, unquoted } from './names.ts';
import type { RecordConnection } from './record-connection.ts';
import { claimOutbox, clearOutbox, deferOutbox, enqueueOutbox, outboxBacklog } from './record-scripts.ts';

type Outbox = Pick<
  Records,
  'readOutbox' | 'clearOutbox' | 'enqueueOutbox' | 'claimOutbox' | 'deferOutbox' | 'outboxBacklog'
>;

/** Rows written in one act, so that many of them hold nobody else up. */
const atOnce = 1000;

/** Changes that a mirror has yet to hear of, one row a key; those of a change are written by its own script. */
export function createOutbox({ client, run, names, nowMs }: RecordConnection): Outbox {
  const keys = [names.outbox, names.outboxRows, names.outboxLeases];
  const givenMs = () => nowMs() ?? '';

  return {
    async readOutbox(limit) {
      const keyIds = await asked(() => client.zrange(names.outbox, '0', String(limit - 1)));
      if (keyIds.length === 0) return [];
      const found = await asked(() => client.hmget(names.outboxRows, ...keyIds));
      return keyIds.flatMap((keyId, at) => readRow(keyId, found[at] ?? '')?.row ?? []);
    },

    async clearOutbox(rows) {
      if (rows.length === 0) return;
      const args = rows.flatMap((row) => [quoted(row.keyId), row.id, 'leaseId' in row ? row.leaseId : '']);
      await run(clearOutbox, keys, args);
    },

    async enqueueOutbox(keyIds, delayMs) {
      for (let start = 0; start < keyIds.length; start += atOnce) {
        const rows = keyIds.slice(start, start + atOnce).flatMap((keyId) => [quoted(keyId), randomUUID()]);
        await run(enqueueOutbox, keys.slice(0, 2), [givenMs(), delayMs, ...rows]);
      }
    },

    async claimOutbox(limit, leaseMs, keyIds) {
      if (keyIds?.length === 0) return [];
      const only = [...new Set(keyIds)].map(quoted);
      const claimed = await run(claimOutbox, keys, [givenMs(), limit, leaseMs, `${randomUUID()}:`, ...only]);
      return claimed.flatMap(([keyId = '', text = '', isTakenOver]) => {
        const found = readRow(keyId, text);
        return found === undefined ? [] : [{ ...found.row, ...found.claim, isTakenOver: isTakenOver === '1' }];
      });
    },

    async deferOutbox({ keyId, id, leaseId }, delayMs) {
      await run(deferOutbox, keys, [givenMs(), quoted(keyId), id, leaseId, delayMs]);
    },

    async outboxBacklog() {
      const counts = await run(outboxBacklog, [names.outbox, names.outboxLeases], [givenMs()]);
      const [due = 0, claimed = 0, later = 0] = counts;
      return { due, claimed, later };
    },
  };
}

interface FoundRow {
  readonly row: OutboxRow;
  readonly claim: Pick<ClaimedRow, 'leaseId' | 'attempts'>;
}

/** As outbox-rows.lua has it; older versions wrote the first three parts. */
const rowText = /^(\S+) (\d+) (\d+)(?: \S+ (\d+) (\S+) \S+)?$/;

/** `undefined` for a row that was cleared between two reads, or edited into nonsense. */
function readRow(part: string, text: string): FoundRow | undefined {
  const [, id, revision, atMs, attempts = '0', leaseId = '-'] = rowText.exec(text) ?? [];
  const keyId = readKeyId(part);
  if (id === undefined || keyId === undefined) return undefined;
  return {
    row: { id, keyId, revision: Number(revision), atMs: Number(atMs) },
    claim: { leaseId, attempts: Number(attempts) },
  };
}

function readKeyId(part: string): string | undefined {
  try {
    return unquoted(part);
  } catch {
    return undefined;
  }
}
