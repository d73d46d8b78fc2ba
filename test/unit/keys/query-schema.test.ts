import assert from 'node:assert/strict';
import { parseAuditQuery, parseKeyListFilter, parsePage, parseUsageRequest } from '../../../lib/keys/query-schema.ts';

const invalid = { code: 'invalid_request', status: 400 };

describe('parsePage', () => {
  it('gives pages of 20, from the start', () => {
    assert.equal(parsePage().limit, 20);
    assert.deepEqual(parsePage({ limit: 100, page: 3 }), { limit: 100, page: 3 });
    assert.deepEqual(parsePage({ limit: 1, cursor: 'abc' }), { limit: 1, cursor: 'abc' });
  });

  for (const page of [
    { limit: 0 },
    { limit: 101 },
    { limit: -1 },
    { limit: 1.5 },
    { limit: Number.NaN },
    { page: 0 },
  ]) {
    it(`refuses ${Object.entries(page).join()}`, () => {
      assert.throws(() => parsePage(page), invalid);
    });
  }

  it('refuses a cursor together with a page number', () => {
    assert.throws(() => parsePage({ cursor: 'abc', page: 2 }), { ...invalid, param: 'page' });
  });
});

describe('parseKeyListFilter', () => {
  it('takes one owner for a list of one, and an empty list for nobody', () => {
    const { ownerIds, teamIds } = parseKeyListFilter({ ownerId: 'ada', teamId: [] });
    assert.deepEqual([ownerIds, teamIds], [['ada'], []]);
  });

  it('refuses a status that keys do not have', () => {
    assert.throws(() => parseKeyListFilter({ status: 'lost' as 'active' }), { ...invalid, param: 'status' });
  });
});

describe('parseUsageRequest', () => {
  it('refuses days outside of 1 to 365, a start given twice, and what usage is not grouped by', () => {
    for (const request of [{ days: 0 }, { days: 366 }, { days: 1, from: 0 }, { groupBy: ['colour' as 'day'] }]) {
      assert.throws(() => parseUsageRequest(request), invalid);
    }
  });
});

describe('parseAuditQuery', () => {
  it('names the targets of keys', () => {
    assert.deepEqual(parseAuditQuery({ keyId: ['a', 'b'] }).targets, ['key:a', 'key:b']);
    assert.deepEqual(parseAuditQuery({ target: 'global' }).targets, ['global']);
    assert.equal(parseAuditQuery({}).targets, undefined);
  });
});
