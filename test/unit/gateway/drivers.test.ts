import assert from 'node:assert/strict';
import { loadDrivers, noAnswer } from '../../../lib/gateway/drivers.ts';
import { StartError } from '../../../lib/gateway/environment.ts';

describe('loadDrivers', () => {
  it('answers what it loads', async () => {
    assert.equal(await loadDrivers(async () => 'driver', 'REDIS_URL', 'ioredis'), 'driver');
  });

  it('says what to install, when it is not', async () => {
    const missing: string = 'a-driver-that-is-not-installed';
    await assert.rejects(
      loadDrivers(() => import(missing), 'DATABASE_URL', 'knex pg'),
      new StartError('DATABASE_URL needs drivers that are not installed: npm install knex pg'),
    );
  });

  it('passes on whatever else goes wrong', async () => {
    const error = new Error('broken');
    await assert.rejects(
      loadDrivers(() => Promise.reject(error), 'REDIS_URL', 'ioredis'),
      error,
    );
  });
});

describe('noAnswer', () => {
  it('tells the reason without the credentials of a URL', () => {
    const { message } = noAnswer('REDIS_URL', 'Redis', new Error('no way to redis://me:secret@host'));
    assert.equal(message, 'REDIS_URL: Redis does not answer: no way to redis://…@host');
  });
});
