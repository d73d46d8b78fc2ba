import { keyStatus, keyStatuses, type VirtualKeyRecord } from '../../../keys/virtual-key.ts';
import { cutPage } from '../../cursor.ts';
import { type FilteredFields, keyMatcher } from '../../key-filter.ts';
import type { KeyCounts, KeyFilter, Records } from '../../store.ts';
import { asked } from '../script.ts';
import { positionOf } from './entries.ts';
import type { IndexedField } from './names.ts';
import { createOrderedRows } from './ordered-rows.ts';
import { presentMs, type RecordConnection } from './record-connection.ts';
import { readFiltered } from './stored-key.ts';

export interface KeyListsOptions {
  readonly connection: RecordConnection;
  readonly readKeys: (ids: readonly string[]) => Promise<readonly (VirtualKeyRecord | undefined)[]>;
}

/** Lists and counts keys: from the index that leaves the fewest, and by looking at these where it does not tell all. */
export function createKeyLists({ connection, readKeys }: KeyListsOptions): Pick<Records, 'listKeys' | 'countKeys'> {
  const { client, names } = connection;
  const rows = createOrderedRows(connection);

  /** Of the indexes for each part of a filter, those that have the fewest entries together. */
  async function narrowest(choices: readonly Choice[]): Promise<readonly string[]> {
    const named = choices.map(({ field, values }) => values.map((value) => names.index(field, value)));
    if (named.length < 2) return named[0] ?? [names.all];
    const sizes = await Promise.all(
      named.map(async (indexes) => {
        const cards = await Promise.all(indexes.map((index) => asked(() => client.zcard(index))));
        return cards.reduce((sum, card) => sum + card, 0);
      }),
    );
    return named[sizes.indexOf(Math.min(...sizes))] ?? [names.all];
  }

  async function* matching(filter: KeyFilter, nowMs: number): AsyncGenerator<readonly [string, FilteredFields]> {
    const choices = choicesOf(filter);
    if (choices.some(({ values }) => values.length === 0)) return;
    const matches = keyMatcher(filter, nowMs);
    for await (const found of rows.walk(await narrowest(choices), names.filtered)) {
      for (const [entry, text] of found) {
        const fields = readFiltered(text);
        if (fields !== undefined && matches(fields)) yield [entry, fields];
      }
    }
  }

  return {
    async listKeys(filter, page) {
      const index = wholeIndex(filter);
      const listed =
        index === undefined
          ? cutPage(await entriesOf(matching(filter, await presentMs(connection))), page, positionOf)
          : await rows.page(index.field === 'all' ? names.all : names.index(index.field, index.value), page);
      const keys = await readKeys(listed.items.map((entry) => positionOf(entry).id));
      return { ...listed, items: keys.flatMap((key) => key ?? []) };
    },

    async countKeys(filter) {
      const nowMs = await presentMs(connection);
      const counts = { active: 0, disabled: 0, expired: 0, revoked: 0 };
      if (Object.values(filter).every((part) => part === undefined)) {
        const { enabled } = names;
        const [revoked, disabled, expired, active] = await Promise.all([
          asked(() => client.zcard(names.index('state', 'revoked'))),
          asked(() => client.zcard(names.index('state', 'disabled'))),
          asked(() => client.zcount(enabled, '-inf', nowMs)),
          asked(() => client.zcount(enabled, `(${nowMs}`, '+inf')),
        ]);
        Object.assign(counts, { revoked, disabled, expired, active });
      } else {
        for await (const [, fields] of matching(filter, nowMs)) counts[keyStatus(fields, nowMs)] += 1;
      }
      const total = keyStatuses.reduce((sum, status) => sum + counts[status], 0);
      return { ...counts, total } satisfies KeyCounts;
    },
  };
}

interface Choice {
  readonly field: IndexedField;
  readonly values: readonly string[];
}

function choicesOf({ models, status, ownerIds, teamIds, tag }: KeyFilter): readonly Choice[] {
  const choices: Choice[] = [];
  if (models !== undefined) choices.push({ field: 'model', values: models });
  if (ownerIds !== undefined) choices.push({ field: 'owner', values: ownerIds });
  if (teamIds !== undefined) choices.push({ field: 'team', values: teamIds });
  if (tag !== undefined) choices.push({ field: 'tag', values: [tag] });
  if (status !== undefined) choices.push({ field: 'state', values: [stateOf(status)] });
  return choices;
}

/** Whether a key has expired is told by the time alone. */
function stateOf(status: NonNullable<KeyFilter['status']>): string {
  return status === 'active' || status === 'expired' ? 'enabled' : status;
}

/** The one index that has all that a filter asks for, and nothing else. */
function wholeIndex(filter: KeyFilter): { field: 'all' } | { field: IndexedField; value: string } | undefined {
  const choices = choicesOf(filter);
  const [choice] = choices;
  if (filter.search !== undefined || choices.length > 1) return undefined;
  if (choice === undefined) return { field: 'all' };
  const [value] = choice.values;
  if (value === undefined || choice.values.length > 1 || value === 'enabled') return undefined;
  return { field: choice.field, value };
}

async function entriesOf(found: AsyncGenerator<readonly [string, unknown]>): Promise<readonly string[]> {
  const entries: string[] = [];
  for await (const [entry] of found) entries.push(entry);
  return entries;
}
