import type { Records, TwinRow } from '../../store.ts';
import { noTwins, twinStates } from '../../twin-counts.ts';
import { asked } from '../script.ts';
import { quoted } from './names.ts';
import type { RecordConnection } from './record-connection.ts';
import { countTwins, putTwin, removeTwin } from './record-scripts.ts';
import { parsedObject } from './stored-key.ts';

/** What a mirror keeps of each key. */
export function createTwins({
  client,
  run,
  names,
}: RecordConnection): Pick<Records, 'findTwins' | 'putTwin' | 'removeTwin' | 'countTwins'> {
  const keys = [names.twins, names.twinStates];

  return {
    async findTwins(keyIds) {
      if (keyIds.length === 0) return [];
      const found = await asked(() => client.hmget(names.twins, ...keyIds.map(quoted)));
      return keyIds.flatMap((keyId, at) => readTwin(keyId, found[at] ?? '') ?? []);
    },

    async putTwin({ keyId, version, state, details }) {
      const args = [quoted(keyId), version, state, twinStates.indexOf(state), JSON.stringify(details)];
      return { outcome: (await run(putTwin, keys, args)) ? 'stored' : 'version_conflict' };
    },

    async removeTwin(keyId, version) {
      const isRemoved = await run(removeTwin, keys, [quoted(keyId), version]);
      return { outcome: isRemoved ? 'removed' : 'version_conflict' };
    },

    async countTwins() {
      const found = await run(countTwins, [names.twinStates], [twinStates.length]);
      const counts = { ...noTwins };
      for (const [at, state] of twinStates.entries()) counts[state] = found[at] ?? 0;
      return counts;
    },
  };
}

/** `undefined` for a row that was edited into nonsense. One whose state or details were is still there to be put anew. */
function readTwin(keyId: string, row: string): TwinRow | undefined {
  const [, version, word, details] = /^(\d+) ([A-Za-z]+) (.*)$/s.exec(row) ?? [];
  if (version === undefined) return undefined;
  const state = twinStates.find((known) => known === word) ?? 'error';
  return { keyId, state, details: { ...parsedObject(details) }, version: Number(version) };
}
