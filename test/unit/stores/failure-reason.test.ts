import assert from 'node:assert/strict';
import { StoreUnavailableError } from '../../../lib/errors.ts';
import { failureReason } from '../../../lib/stores/failure-reason.ts';

describe('failureReason', () => {
  const reasonOf = (message: string) => failureReason(new StoreUnavailableError('x', { cause: new Error(message) }));

  it('is what the driver said, or else what the error says', () => {
    assert.equal(reasonOf('connect ECONNREFUSED 127.0.0.1:6379'), 'connect ECONNREFUSED 127.0.0.1:6379');
    assert.equal(failureReason(new StoreUnavailableError('The store did not answer')), 'The store did not answer');
    assert.equal(reasonOf(''), 'Error');
    assert.equal(failureReason('down'), 'unknown');
  });

  it('is one line of at most 200 characters', () => {
    assert.equal(reasonOf('a\r\nerror: b\u2028c\u001b[31m'), 'a error: b c [31m');
    assert.equal(reasonOf('no '.repeat(10_000)).length, 200);
  });

  it('holds neither credentials nor hashes', () => {
    assert.equal(reasonOf('no route to redis://ops:p@ss@cache:6379/0'), 'no route to redis://…@cache:6379/0');
    assert.equal(reasonOf(`duplicate key (${'0f'.repeat(32)})`), 'duplicate key (…)');
    assert.equal(reasonOf(`unknown sk-llm-${'aB3'.repeat(12)}`), 'unknown …');
  });
});
