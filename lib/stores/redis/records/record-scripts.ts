import { luaFiles } from '../lua.ts';
import { defineScript, isText, readTexts, unexpectedReply } from '../script.ts';

/** What the script of a change answers: it is made, and fences are pending, or why it is not. */
export type ChangeReply =
  | {
      readonly outcome: 'changed';
      readonly revision: number;
      readonly extra: string;
      readonly fences: readonly string[];
    }
  | { readonly outcome: 'version_conflict'; readonly version: number }
  | { readonly outcome: 'id_taken' | 'alias_taken' | 'secret_taken' | 'owner_limit' | 'not_found' };

const refusals = ['id_taken', 'alias_taken', 'secret_taken', 'owner_limit', 'not_found'] as const;

function readChange(reply: unknown): ChangeReply {
  if (!Array.isArray(reply)) throw unexpectedReply();
  const [outcome, number, extra, fences] = reply;
  if (outcome === 'changed' && isText(number) && isText(extra)) {
    return { outcome, revision: Number(number), extra, fences: readTexts(fences) };
  }
  if (outcome === 'version_conflict' && isText(number)) return { outcome, version: Number(number) };
  const refusal = refusals.find((known) => known === outcome);
  if (refusal === undefined) throw unexpectedReply();
  return { outcome: refusal };
}

const { present } = luaFiles;
const outboxRows = [present, luaFiles['outbox-rows']];
const common = [...outboxRows, luaFiles['record-change']];

export const changeKey = defineScript([...common, luaFiles['change-key']], readChange);
export const changeDocument = defineScript([...common, luaFiles['change-document']], readChange);
export const appendAudit = defineScript([...common, luaFiles['append-audit']], () => undefined);
export const touchKey = defineScript([luaFiles['touch-key']], () => undefined);

export const enqueueOutbox = defineScript([...outboxRows, luaFiles['enqueue-outbox']], () => undefined);
export const deferOutbox = defineScript([...outboxRows, luaFiles['defer-outbox']], () => undefined);
export const clearOutbox = defineScript([...outboxRows, luaFiles['clear-outbox']], () => undefined);
export const claimOutbox = defineScript([...outboxRows, luaFiles['claim-outbox']], (reply) => {
  if (!Array.isArray(reply)) throw unexpectedReply();
  return reply.map(readTexts);
});
export const outboxBacklog = defineScript([present, luaFiles['outbox-backlog']], readNumbers);

export const putTwin = defineScript([luaFiles['put-twin']], (reply) => reply === 1);
export const removeTwin = defineScript([luaFiles['remove-twin']], (reply) => reply === 1);
export const countTwins = defineScript([luaFiles['count-twins']], readNumbers);

/** The time of a new alert; `undefined` for one that exists. */
export const insertAlert = defineScript([present, luaFiles['insert-alert']], (reply) => {
  if (!isText(reply)) throw unexpectedReply();
  return reply === '' ? undefined : Number(reply);
});

export const readEntries = defineScript([luaFiles['read-entries']], (reply) => {
  const [entries, texts]: unknown[] = Array.isArray(reply) ? reply : [];
  return { entries: readTexts(entries), texts: readTexts(texts) };
});

function readNumbers(reply: unknown): readonly number[] {
  if (Array.isArray(reply) && reply.every((number) => typeof number === 'number')) return reply;
  throw unexpectedReply();
}
