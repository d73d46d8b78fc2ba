import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { ScopeId } from '../../../../lib/limits/limit.ts';
import type { Act } from '../../../../lib/stores/postgres/acts.ts';
import { createSubmit } from '../../../../lib/stores/postgres/batching.ts';

interface Batch {
  readonly names: readonly string[];
  end(): Promise<void>;
}

describe('createSubmit', () => {
  let batches: Batch[];
  let answers: string[];
  let submit: (name: string, ...scopeIds: ScopeId[]) => void;
  const names = () => batches.map((batch) => batch.names.join(' '));

  beforeEach(() => {
    batches = [];
    answers = [];
    const give = createSubmit((acts) => {
      const results = acts.map((act) => act.appliedId ?? '');
      return new Promise((resolve) => {
        batches.push({
          names: results,
          async end() {
            resolve(results);
            await turn();
          },
        });
      });
    });
    submit = (name, ...scopeIds) => {
      const act: Act<string> = { scopeIds, holdIds: [], appliedId: name, run: () => name };
      void give(act).then((answer) => answers.push(answer));
    };
  });

  it('sends what comes while a batch of the same scope is on its way together in the next', async () => {
    submit('a', 'key:a');
    submit('b', 'key:a');
    await turn();
    for (const name of ['c', 'd', 'e']) submit(name, 'key:a');
    await turn();
    assert.deepEqual(names(), ['a b']);
    await batches[0]?.end();
    assert.deepEqual(
      [names(), answers],
      [
        ['a b', 'c d e'],
        ['a', 'b'],
      ],
    );
  });

  it('has two batches on their way at once where no scope is common, and no more', async () => {
    submit('a', 'key:a', 'team:red');
    await turn();
    submit('b', 'key:b', 'team:blue');
    await turn();
    submit('c', 'key:c');
    submit('d', 'key:d', 'team:red');
    await turn();
    assert.deepEqual(names(), ['a', 'b']);
    await batches[1]?.end();
    assert.deepEqual(names(), ['a', 'b', 'c']);
    await batches[0]?.end();
    assert.deepEqual(names(), ['a', 'b', 'c', 'd']);
  });

  it('lets nobody overtake who waits for one of several scopes', async () => {
    submit('a', 'key:a');
    await turn();
    submit('both', 'key:a', 'key:b');
    submit('b', 'key:b');
    submit('c', 'key:c');
    await turn();
    assert.deepEqual(names(), ['a', 'c']);
    await batches[1]?.end();
    assert.deepEqual(names(), ['a', 'c']);
    await batches[0]?.end();
    assert.deepEqual(names(), ['a', 'c', 'both b']);
  });

  it('divides many acts between two batches, but no few, and leaves those of one scope together', async () => {
    for (let index = 0; index < 20; index += 1) submit(`a${index}`, `key:${index}`);
    await turn();
    assert.deepEqual(
      batches.map((batch) => batch.names.length),
      [20],
    );
    await batches[0]?.end();
    for (let index = 0; index < 80; index += 1) submit(`a${index}`, `key:${index}`);
    await turn();
    assert.deepEqual(
      batches.map((batch) => batch.names.length),
      [20, 40, 40],
    );
    for (const batch of [...batches]) await batch.end();
    for (let index = 0; index < 100; index += 1) submit('hot', 'key:hot');
    await turn();
    assert.deepEqual(
      batches.map((batch) => batch.names.length),
      [20, 40, 40, 64],
    );
    await batches[3]?.end();
    assert.deepEqual([batches[4]?.names.length, answers.length], [36, 164]);
  });
});
