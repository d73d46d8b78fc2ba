import assert from 'node:assert/strict';
import { completeElements } from '../../../lib/usage/json-array.ts';

describe('completeElements', () => {
  const elements = [{ text: 'a } and a " and { too' }, { nested: { deep: [{}] } }, { text: '\\' }];
  const text = JSON.stringify(elements, null, 2);

  it('finds the elements that are complete, wherever the text breaks off', () => {
    const ends = elements.map((element) => {
      const pretty = JSON.stringify([element], null, 2).slice(2, -2);
      return text.indexOf(pretty) + pretty.length;
    });
    for (let cut = 0; cut <= text.length; cut += 1) {
      const expected = elements.filter((_, index) => cut >= (ends[index] ?? 0));
      assert.deepEqual(completeElements(text.slice(0, cut)), expected, `cut at ${cut}`);
    }
  });

  it('finds none in a text that is no array', () => {
    assert.deepEqual(completeElements('{"a":{}}'), []);
    assert.deepEqual(completeElements(''), []);
  });

  it('keeps its pace on an unfinished string of megabytes', () => {
    assert.deepEqual(completeElements(`[{"a":"${'x\\"'.repeat(1_000_000)}`), []);
  });
});
